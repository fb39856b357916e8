// Asking again and again, and remembering what the viewer chose.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Refusal } from './api.ts';

/** A choice that the browser keeps. */
export function useStored<T>(name: string, initial: T): [T, (value: T | ((old: T) => T)) => void] {
  const key = `dtranspose.${name}`;
  const [value, setValue] = useState<T>(() => {
    try {
      const kept = localStorage.getItem(key);
      return kept === null ? initial : (JSON.parse(kept) as T);
    } catch {
      return initial;
    }
  });
  const store = useCallback((next: T | ((old: T) => T)) => {
    setValue((old) => {
      const made = typeof next === 'function' ? (next as (old: T) => T)(old) : next;
      try {
        localStorage.setItem(key, JSON.stringify(made));
      } catch {
        // Private windows may refuse: then it lasts as long as the page.
      }
      return made;
    });
  }, [key]);
  return [value, store];
}

export function useVisible(): boolean {
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const change = () => setVisible(!document.hidden);
    document.addEventListener('visibilitychange', change);
    return () => document.removeEventListener('visibilitychange', change);
  }, []);
  return visible;
}

export interface Polled<T> {
  data: T | null;
  error: Refusal | null; // of the last try
  again: () => void;
}

/** Asks at once and then every so many seconds, never twice at a time, and not while nobody looks. */
export function usePoll<T>(get: (abort: AbortSignal) => Promise<T>, seconds: number, depends: unknown[] = []): Polled<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<Refusal | null>(null);
  const [round, setRound] = useState(0);
  const visible = useVisible();
  const latest = useRef(get);
  latest.current = get;
  useEffect(() => {
    if (!visible) return;
    const abort = new AbortController();
    let timer = 0;
    const turn = async () => {
      const began = performance.now();
      try {
        const answer = await latest.current(abort.signal);
        if (abort.signal.aborted) return;
        setData(answer);
        setError(null);
      } catch (problem) {
        if (abort.signal.aborted) return;
        setError(problem as Refusal);
      }
      const spent = (performance.now() - began) / 1000;
      timer = window.setTimeout(turn, Math.max(0.03, seconds - spent) * 1000);
    };
    turn();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [visible, seconds, round, ...depends]);
  return { data, error, again: () => setRound((n) => n + 1) };
}

/**
 * Asks whenever `wish` changes: one question at a time, and behind it only the newest wish, so that a slow answer
 * holds nothing up and a fast series of wishes still shows something. A null wish asks nothing.
 */
export function useNewest<T>(wish: string | null, get: (abort: AbortSignal) => Promise<T>): { data: T | null; error: Refusal | null } {
  const [answer, setAnswer] = useState<{ data: T | null; error: Refusal | null }>({ data: null, error: null });
  const latest = useRef(get);
  latest.current = get;
  const state = useRef({ busy: false, again: false, gone: new AbortController() });
  useEffect(() => {
    state.current.gone = new AbortController();
    return () => state.current.gone.abort();
  }, []);
  useEffect(() => {
    if (wish === null) return;
    const s = state.current;
    if (s.busy) {
      s.again = true;
      return;
    }
    const run = async () => {
      s.busy = true;
      do {
        s.again = false;
        const { signal } = s.gone;
        try {
          const data = await latest.current(signal);
          if (!signal.aborted) setAnswer({ data, error: null });
        } catch (error) {
          if (!signal.aborted) setAnswer((old) => ({ data: old.data, error: error as Refusal }));
        }
      } while (s.again && !s.gone.signal.aborted);
      s.busy = false;
    };
    run();
  }, [wish]);
  return answer;
}

/** The theme that is on; changes when it does. Drawings take their colours from it. */
export function useTheme(): number {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const changed = () => setTurn((n) => n + 1);
    const observer = new MutationObserver(changed);
    observer.observe(document.documentElement, { attributes: true });
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', changed);
    return () => {
      observer.disconnect();
      dark.removeEventListener('change', changed);
    };
  }, []);
  return turn;
}

/** The size of an element, followed. */
export function useSize<E extends HTMLElement>(): [{ current: E | null }, { width: number; height: number }] {
  const element = useRef<E>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    if (!element.current) return;
    const observer = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect;
      setSize({ width: Math.floor(width), height: Math.floor(height) });
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, size];
}

/** Is the element on the screen, or nearly? */
export function useOnScreen<E extends HTMLElement>(element: { current: E | null }): boolean {
  const [on, setOn] = useState(false);
  useEffect(() => {
    if (!element.current) return;
    const observer = new IntersectionObserver(([entry]) => setOn(entry!.isIntersecting), { rootMargin: '100px' });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return on;
}
