// The server with the results: where it is, and what it is asked.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, askJson, Refusal, type Config } from '../api.ts';
import { useVisible } from '../hooks.ts';

/** Which scan and snapshot is looked at; without a number the latest. */
export interface Moment {
  scan: string | null;
  snapshot: number | null;
}

export interface Where {
  server: string; // http://HOST:PORT
  moment: Moment;
}

export function address(where: Where, route: string, query: Record<string, string | number | undefined> = {}): string {
  const parts = new URLSearchParams();
  const { scan, snapshot } = where.moment;
  if (scan) parts.set('scan', scan);
  if (snapshot !== null) parts.set('snapshot', String(snapshot));
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parts.set(name, String(value));
  const text = parts.toString();
  return `${where.server}/api/v1/${route}${text ? `?${text}` : ''}`;
}

/** Where the results may be: as `config` says, and at this page's host for who came through a tunnel. */
export function candidates(told: string, page: { protocol: string; hostname: string }): string[] {
  let url: URL;
  try {
    url = new URL(told);
  } catch {
    return [];
  }
  const own = new URL(url);
  own.hostname = page.hostname;
  const both = [url.origin, own.origin];
  // Nobody can ask an address that means "all of them".
  return [...new Set(url.hostname === '0.0.0.0' || url.hostname === '[::]' ? [own.origin] : both)];
}

const reloadedKey = 'dtranspose.reloaded-for';
const mostReloads = 3; // for one address: what forbids it then is not the age of the page

/** The first of the candidates that answers; null while none does. */
export function useServer(config: Config | null): { server: string | null; trouble: Refusal | null } {
  const [server, setServer] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<Refusal | null>(null);
  const told = config?.results ?? null;
  useEffect(() => {
    if (!told) return setServer(null);
    const abort = new AbortController();
    let timer = 0, reloading = 0;
    // The page was loaded before the results server was there, so it may not ask it: the page anew may.
    const forbidden = (event: SecurityPolicyViolationEvent) => {
      if (!event.blockedURI.startsWith(new URL(told).origin) || reloading) return;
      const [address, times] = JSON.parse(sessionStorage.getItem(reloadedKey) ?? '["",0]') as [string, number];
      const before = address === told ? times : 0;
      if (before >= mostReloads) return;
      sessionStorage.setItem(reloadedKey, JSON.stringify([told, before + 1]));
      // The server remembers where the results are for a second.
      reloading = window.setTimeout(() => location.reload(), before * 1500);
    };
    document.addEventListener('securitypolicyviolation', forbidden);
    const find = async () => {
      let last: Refusal | null = null;
      for (const candidate of candidates(told, location)) {
        try {
          await ask(`${candidate}/api/v1/status`, { signal: abort.signal });
          setServer(candidate);
          setTrouble(null);
          return;
        } catch (error) {
          if (abort.signal.aborted) return;
          last = error as Refusal;
        }
      }
      setTrouble(last);
      timer = window.setTimeout(find, 3000);
    };
    find();
    return () => {
      abort.abort();
      clearTimeout(timer);
      clearTimeout(reloading);
      document.removeEventListener('securitypolicyviolation', forbidden);
    };
  }, [told]);
  return { server, trouble };
}

export interface Happened {
  scan: string | null;
  snapshot: number;
  results: number;
  finished: boolean;
}

/** The events in a stream of server-sent ones, as they become complete. Returns what is not complete yet. */
export function takeEvents(text: string, happened: (name: string, data: string) => void): string {
  const cut = text.endsWith('\r') ? '\r' : ''; // its line feed may be under way
  const blocks = text.slice(0, text.length - cut.length).replace(/\r\n?/g, '\n').split('\n\n');
  const rest = (blocks.pop() ?? '') + cut;
  for (const block of blocks) {
    let name = 'message';
    const data: string[] = [];
    for (const line of block.split('\n')) {
      if (line.startsWith('event:')) name = line.slice(6).trim();
      if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
    }
    if (data.length) happened(name, data.join('\n'));
  }
  return rest;
}

/** Follows the snapshots as they come, not more often than `perSecond`. */
export function useHappenings(server: string | null, perSecond: number, follow: boolean): Happened | null {
  const [latest, setLatest] = useState<Happened | null>(null);
  const visible = useVisible();
  const alive = useRef(0);
  useEffect(() => {
    if (!server || !follow || !visible) return;
    const run = ++alive.current;
    const abort = new AbortController();
    let timer = 0;
    const take = (name: string, data: string) => {
      if (name === 'snapshot' && run === alive.current) setLatest(JSON.parse(data));
    };
    const poll = async () => {
      const found = await askJson<Happened>(`${server}/api/v1/snapshots`, { signal: abort.signal }) as unknown as
        { scan: string; latest: number; finished: boolean; snapshots: { results: number }[] };
      const results = found.snapshots[found.snapshots.length - 1]?.results ?? 0;
      setLatest({ scan: found.scan, snapshot: found.latest, finished: found.finished, results });
    };
    const read = async () => {
      let pause = 2000;
      try {
        // Fetched rather than by EventSource, which cannot send a token.
        const answer = await ask(`${server}/api/v1/events?rate=${Math.max(1, Math.round(perSecond))}`, { signal: abort.signal });
        const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
        let rest = '';
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          rest = takeEvents(rest + value, take);
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        if ((error as Refusal).status === 404) {
          pause = 1000 / perSecond;
          await poll().catch(() => {});
        }
      }
      if (!abort.signal.aborted) timer = window.setTimeout(read, pause);
    };
    read();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [server, perSecond, follow, visible]);
  return latest;
}
