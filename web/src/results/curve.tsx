// A one-dimensional array as a curve: its mean line, and between lowest and highest of each bin a band.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { askJson } from '../api.ts';
import { brief, measured } from '../format.ts';
import { useNewest, useOnScreen, useSize, useTheme } from '../hooks.ts';
import { IconButton } from '../parts.tsx';
import { address, type Where } from './server.ts';
import { fetchView, type View } from './view.ts';

interface Props {
  where: Where;
  round: unknown;
  path: string;
  length: number;
  x: string | null; // path of what it is drawn against; null: the index
  log: boolean;
  low: number | null;
  high: number | null;
  unit: string;
  tall: boolean;
}

export interface Curve {
  index: Float64Array;
  x: number[];
  low: (number | null)[];
  high: (number | null)[];
}

/** `view` of a curve has three rows: index, lowest, highest. Drawn against another array: by the middles of its bins. */
export function curveOf(view: View, other: View | null, log: boolean): Curve {
  const n = view.width;
  const shown = (y: number) => (Number.isFinite(y) && (!log || y > 0) ? y : null);
  const rows = (i: number) => view.pixels.subarray(i * n, (i + 1) * n);
  const index = Float64Array.from(rows(0));
  let order = Array.from({ length: n }, (_, i) => i);
  let x = Array.from(index);
  if (other && other.width === n) {
    x = order.map((i) => (other.pixels[n + i]! + other.pixels[2 * n + i]!) / 2);
    order = order.filter((i) => Number.isFinite(x[i]!)).sort((a, b) => x[a]! - x[b]!);
  }
  return {
    index: Float64Array.from(order, (i) => index[i]!),
    x: order.map((i) => x[i]!),
    low: order.map((i) => shown(rows(1)[i]!)),
    high: order.map((i) => shown(rows(2)[i]!)),
  };
}

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(p: Props, width: number, height: number, zoomed: (from: number, to: number) => void, pointed: (at: number | null) => void): uPlot.Options {
  const axis = { stroke: css('--dim'), grid: { stroke: css('--grid'), width: 1 }, ticks: { stroke: css('--grid'), width: 1 }, font: '11px system-ui, sans-serif' };
  const labels = (_: uPlot, values: (number | null)[]) => values.map((v) => (v === null ? '' : Math.abs(v) >= 1e5 ? brief(v) : measured(Number(v.toPrecision(10)))));
  const line = css('--curve');
  return {
    width, height,
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    scales: {
      x: { time: false },
      y: {
        distr: p.log ? 3 : 1,
        range: (_, low, high) => {
          if (low === null || high === null) return p.log ? [1, 10] : [0, 1];
          const [a, b] = [p.low ?? low, p.high ?? high];
          if (p.log) return uPlot.rangeLog(Math.max(a, Number.MIN_VALUE), b, 10, false);
          return p.low !== null || p.high !== null ? [a, b] : uPlot.rangeNum(a, b, 0.05, true);
        },
      },
    },
    axes: [{ ...axis, size: 34, values: labels }, { ...axis, size: 62, values: labels }],
    series: [{}, { stroke: line, width: 1.5, points: { show: false } }, { stroke: line, width: 1.5, points: { show: false } }],
    bands: [{ series: [2, 1], fill: css('--band') }],
    hooks: {
      setSelect: [(u) => {
        if (u.select.width > 5) zoomed(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'));
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
      setCursor: [(u) => pointed(u.cursor.idx ?? null)],
    },
  };
}

export function CurvePlot(p: Props) {
  const [box, size] = useSize<HTMLDivElement>();
  const onScreen = useOnScreen(box);
  const [columns, setColumns] = useState<[number, number] | null>(null);
  const [at, setAt] = useState<number | null>(null); // an index into the data
  const [exact, setExact] = useState<{ at: number; value: number | null } | null>(null);
  const theme = useTheme();
  const plot = useRef<uPlot | null>(null);
  const height = p.tall ? Math.max(240, globalThis.innerHeight - 260) : 260;
  const width = Math.max(50, size.width - 80);

  const wish = onScreen && size.width > 50 ? JSON.stringify([p.where, p.round, p.path, p.x, width, columns]) : null;
  const { data, error: trouble } = useNewest<[View, View | null]>(wish, (signal) => {
    const wanted = { columns, width };
    return Promise.all([
      fetchView(p.where, { ...wanted, path: p.path }, signal),
      p.x ? fetchView(p.where, { ...wanted, path: p.x }, signal) : null,
    ]);
  });
  const curve = useMemo(() => (data ? curveOf(data[0], data[1], p.log) : null), [data, p.log]);
  const held = useRef<Curve | null>(null);
  held.current = curve;

  useEffect(() => {
    if (size.width < 50) return;
    const zoomed = (from: number, to: number) => {
      const c = held.current!;
      const inside = Array.from(c.index).filter((_, i) => c.x[i]! >= from && c.x[i]! <= to);
      if (inside.length < 2) return;
      setColumns([Math.max(0, Math.floor(Math.min(...inside))), Math.min(p.length, Math.ceil(Math.max(...inside)) + 1)]);
    };
    const pointed = (i: number | null) => setAt(i === null ? null : Math.round(held.current?.index[i] ?? NaN));
    const made = new uPlot(options(p, size.width, height, zoomed, pointed), [[], [], []], box.current!);
    plot.current = made;
    if (held.current) made.setData([held.current.x, held.current.low, held.current.high]);
    return () => made.destroy();
  }, [size.width, height, p.log, p.low, p.high, p.length, theme]);
  useEffect(() => {
    if (curve && plot.current) plot.current.setData([curve.x, curve.low, curve.high]);
  }, [curve]);

  useEffect(() => {
    if (at === null || Number.isNaN(at)) return;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { value } = await askJson<{ value: number | null }>(address(p.where, 'value', { path: p.path, at }), { signal: abort.signal });
        setExact({ at, value });
      } catch {
        // The curve has it, nearly.
      }
    }, 80);
    return () => { abort.abort(); clearTimeout(timer); };
  }, [at, p.round, p.path]);

  const zoom = (factor: number) => {
    const [a, b] = columns ?? [0, p.length];
    const middle = at ?? (a + b) / 2;
    const half = Math.max(4, (b - a) * factor) / 2;
    const next: [number, number] = [Math.max(0, Math.floor(middle - half)), Math.min(p.length, Math.ceil(middle + half))];
    setColumns(next[0] === 0 && next[1] === p.length ? null : next);
  };
  const keys = (event: KeyboardEvent) => {
    const c = curve;
    if (!c || c.x.length === 0) return;
    if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      const u = plot.current!;
      const now = u.cursor.idx ?? Math.floor(c.x.length / 2);
      const next = Math.min(c.x.length - 1, Math.max(0, now + (event.key === 'ArrowLeft' ? -1 : 1) * (event.shiftKey ? 10 : 1)));
      u.setCursor({ left: u.valToPos(c.x[next]!, 'x'), top: u.bbox.height / 4 });
    } else if (event.key === '+' || event.key === '=') zoom(1 / 1.5);
    else if (event.key === '-') zoom(1.5);
    else if (event.key === '0' || event.key === 'Escape') setColumns(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const spot = curve && at !== null ? curve.index.findIndex((i) => Math.round(i) === at) : -1;
  const nearly = spot >= 0 && curve ? `${measured(curve.low[spot])}${curve.low[spot] !== curve.high[spot] ? ` to ${measured(curve.high[spot])}` : ''}` : '';
  const against = p.x && spot >= 0 ? ` (${measured(curve!.x[spot])})` : '';
  const value = exact && exact.at === at ? measured(exact.value) : nearly && `\u2248 ${nearly}`;
  return (
    <div class="curve">
      <div class="plot" ref={box} style={{ height: `${height}px` }} tabIndex={0} role="img" data-testid="curve" data-snapshot={data?.[0].snapshot ?? ''}
        aria-label={`Curve of ${p.path}, ${p.length} values. Left and right move the cursor, plus and minus zoom, 0 shows all.`}
        onKeyDown={keys} onDblClick={() => setColumns(null)} />
      <div class="under">
        <output class="reading" aria-live="polite" data-testid="reading">{at !== null && spot >= 0 ? `${at}${against}: ${value}${p.unit ? ` ${p.unit}` : ''}` : <span class="dim">point at it for values, draw to zoom</span>}</output>
        <span class="zoom">
          <IconButton icon="minus" label="Zoom out" onClick={() => zoom(1.5)} disabled={!columns} />
          <IconButton icon="plus" label="Zoom in" onClick={() => zoom(1 / 1.5)} />
          <IconButton icon="fit" label="Show all" onClick={() => setColumns(null)} disabled={!columns} />
        </span>
      </div>
      {trouble && <p class="refused" role="status">{trouble.message}</p>}
    </div>
  );
}
