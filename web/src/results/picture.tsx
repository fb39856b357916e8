// A picture of data: an image, a map, or three maps as one. Zoom with wheel, fingers, keys or buttons.
import { useEffect, useRef, useState } from 'preact/hooks';
import { askJson } from '../api.ts';
import { brief, measured } from '../format.ts';
import { useNewest, useOnScreen, useSize, useTheme } from '../hooks.ts';
import { IconButton } from '../parts.tsx';
import { leastPositive, middle, paint, paintThree, ticks, valueAt, type RangeMode, type Scaling } from './colour.ts';
import { address, type Where } from './server.ts';
import { fetchView, isWhole, moved, rounded, whole, zoomed, type Extent, type View, type Window } from './view.ts';

export interface Look {
  scale: string;
  log: boolean;
  range: RangeMode;
  low: number | null; // with range "fixed"
  high: number | null;
  stretch: boolean | null; // null: as the shape suggests
  reduce: 'mean' | 'max' | 'nearest';
}

export const plainLook: Look = { scale: 'viridis', log: false, range: 'most', low: null, high: null, stretch: null, reduce: 'mean' };

interface Props {
  where: Where;
  round: unknown; // changes when there is something new to ask for
  paths: (string | null)[]; // one, or three for red, green and blue
  index: number[];
  extent: Extent;
  look: Look;
  tall: boolean;
  names?: string[];
}

interface Spot {
  row: number;
  column: number;
}

const margin = { left: 46, bottom: 20, top: 6, right: 12 };
const none: (View | null)[] = [];
const bar = { width: 12, gap: 8, labels: 58 };

export function scalingOf(view: View, look: Look): Scaling {
  let range = view.range;
  if (look.range === 'most') range = middle(view.pixels) ?? range;
  let [low, high] = range ?? [0, 1];
  if (look.range === 'fixed') {
    low = look.low ?? low;
    high = look.high ?? high;
  }
  if (look.log && low <= 0) {
    const least = leastPositive(view.pixels);
    low = Number.isFinite(least) ? Math.max(least, high * 1e-6) : 0;
  }
  return { low, high, log: look.log };
}

/** What is visible, in as many pixels as the screen has for it. */
function useViews(p: Props, window: Window, size: { width: number; height: number }, onScreen: boolean) {
  const dots = globalThis.devicePixelRatio || 1;
  const seen = isWhole(window, p.extent) ? null : rounded(window, p.extent);
  const wanted = { index: p.index, window: seen, width: size.width * dots, height: size.height * dots, reduce: p.look.reduce };
  const wish = onScreen && size.width > 10 ? JSON.stringify([p.where, p.round, p.paths, wanted]) : null;
  return useNewest<(View | null)[]>(wish, (signal) =>
    Promise.all(p.paths.map((path) => (path ? fetchView(p.where, { ...wanted, path }, signal) : null))));
}

/** The exact value under the cursor, once it has rested a moment. */
function useExact(where: Where, path: string | null, index: number[], spot: Spot | null, round: unknown) {
  const [value, setValue] = useState<{ spot: string; value: number | null } | null>(null);
  const key = spot ? [...index, spot.row, spot.column].join(',') : '';
  useEffect(() => {
    if (!spot || !path) return;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { value } = await askJson<{ value: number | null }>(address(where, 'value', { path, at: key }), { signal: abort.signal });
        setValue({ spot: key, value });
      } catch {
        // The picture has it, nearly.
      }
    }, 80);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, path, round, where.server]);
  return value && value.spot === key ? value.value : undefined;
}

function pixelAt(view: View, { row, column }: Spot): number {
  const r = Math.floor(((row + 0.5 - view.rows[0]) / (view.rows[1] - view.rows[0])) * view.height);
  const c = Math.floor(((column + 0.5 - view.columns[0]) / (view.columns[1] - view.columns[0])) * view.width);
  return r >= 0 && r < view.height && c >= 0 && c < view.width ? view.pixels[r * view.width + c]! : NaN;
}

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Where the data lie on the canvas, in CSS pixels. */
interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

function frameOf(width: number, height: number, window: Window, stretch: boolean, withBar: boolean): Frame {
  const right = margin.right + (withBar ? bar.gap + bar.width + bar.labels : 0);
  const w = Math.max(10, width - margin.left - right);
  const h = Math.max(10, height - margin.top - margin.bottom);
  if (stretch) return { left: margin.left, top: margin.top, width: w, height: h };
  const scale = Math.min(w / (window.columns[1] - window.columns[0]), h / (window.rows[1] - window.rows[0]));
  const fw = scale * (window.columns[1] - window.columns[0]), fh = scale * (window.rows[1] - window.rows[0]);
  return { left: margin.left + (w - fw) / 2, top: margin.top + (h - fh) / 2, width: fw, height: fh };
}

function draw(canvas: HTMLCanvasElement, frame: Frame, window: Window, raster: HTMLCanvasElement | null, view: View | null,
  spot: Spot | null, scaling: Scaling | null, scale: string) {
  const dots = globalThis.devicePixelRatio || 1;
  const context = canvas.getContext('2d')!;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * dots)) canvas.width = Math.round(width * dots);
  if (canvas.height !== Math.round(height * dots)) canvas.height = Math.round(height * dots);
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  const x = (column: number) => frame.left + ((column - window.columns[0]) / (window.columns[1] - window.columns[0])) * frame.width;
  const y = (row: number) => frame.top + ((row - window.rows[0]) / (window.rows[1] - window.rows[0])) * frame.height;
  context.fillStyle = css('--blank');
  context.fillRect(frame.left, frame.top, frame.width, frame.height);
  if (raster && view) {
    context.save();
    context.beginPath();
    context.rect(frame.left, frame.top, frame.width, frame.height);
    context.clip();
    context.imageSmoothingEnabled = false;
    context.drawImage(raster, x(view.columns[0]), y(view.rows[0]), x(view.columns[1]) - x(view.columns[0]), y(view.rows[1]) - y(view.rows[0]));
    if (spot) drawSpot(context, frame, x, y, spot);
    context.restore();
  }
  drawAxes(context, frame, window, x, y);
  if (scaling) drawBar(context, frame, scaling, scale);
}

function drawSpot(context: CanvasRenderingContext2D, frame: Frame, x: (c: number) => number, y: (r: number) => number, spot: Spot) {
  const cx = x(spot.column + 0.5), cy = y(spot.row + 0.5);
  for (const [colour, width] of [['rgba(0,0,0,.55)', 3], ['rgba(255,255,255,.9)', 1]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(frame.left, cy);
    context.lineTo(frame.left + frame.width, cy);
    context.moveTo(cx, frame.top);
    context.lineTo(cx, frame.top + frame.height);
    context.stroke();
  }
}

function drawAxes(context: CanvasRenderingContext2D, frame: Frame, window: Window, x: (c: number) => number, y: (r: number) => number) {
  context.font = '11px system-ui, sans-serif';
  context.fillStyle = css('--dim');
  context.strokeStyle = css('--dim');
  context.lineWidth = 1;
  context.textAlign = 'center';
  context.textBaseline = 'top';
  const inside = (t: number, [a, b]: [number, number]) => Number.isInteger(t) && t + 0.5 >= a && t + 0.5 <= b;
  const bottom = frame.top + frame.height;
  for (const t of ticks(window.columns[0], window.columns[1], frame.width / 70).filter((t) => inside(t, window.columns))) {
    context.fillRect(x(t + 0.5), bottom, 1, 4);
    context.fillText(String(t), x(t + 0.5), bottom + 6);
  }
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const t of ticks(window.rows[0], window.rows[1], frame.height / 45).filter((t) => inside(t, window.rows))) {
    context.fillRect(frame.left - 4, y(t + 0.5), 4, 1);
    context.fillText(String(t), frame.left - 7, y(t + 0.5));
  }
}

function drawBar(context: CanvasRenderingContext2D, frame: Frame, scaling: Scaling, scale: string) {
  const left = frame.left + frame.width + bar.gap;
  const strip = document.createElement('canvas');
  strip.width = 1;
  strip.height = 256;
  const pixels = new ImageData(1, 256);
  paint(Float32Array.from({ length: 256 }, (_, i) => (255 - i) / 255), { low: 0, high: 1, log: false }, scale, pixels.data);
  strip.getContext('2d')!.putImageData(pixels, 0, 0);
  context.drawImage(strip, left, frame.top, bar.width, frame.height);
  context.fillStyle = css('--dim');
  context.textAlign = 'left';
  const labels = frame.height > 150 ? 5 : frame.height > 60 ? 3 : 2;
  for (let i = 0; i < labels; ++i) {
    const part = i / (labels - 1);
    context.textBaseline = i === 0 ? 'bottom' : i === labels - 1 ? 'top' : 'middle';
    context.fillText(brief(valueAt(part, scaling)), left + bar.width + 5, frame.top + frame.height * (1 - part));
  }
}

/** The colours of what came, as a picture of its own. */
function rasterOf(views: (View | null)[], look: Look): { raster: HTMLCanvasElement | null; scalings: (Scaling | null)[] } {
  const first = views.find((v) => v) ?? null;
  const scalings = views.map((v) => (v ? scalingOf(v, look) : null));
  if (!first || first.width === 0 || first.height === 0) return { raster: null, scalings };
  const raster = document.createElement('canvas');
  raster.width = first.width;
  raster.height = first.height;
  const image = new ImageData(first.width, first.height);
  if (views.length === 1) paint(first.pixels, scalings[0]!, look.scale, image.data);
  else paintThree(views.map((v, i) => (v ? { pixels: v.pixels, scaling: scalings[i]! } : null)), image.data);
  raster.getContext('2d')!.putImageData(image, 0, 0);
  return { raster, scalings };
}

export function Picture(p: Props) {
  const [window, setWindow] = useState<Window>(whole(p.extent));
  const [spot, setSpot] = useState<Spot | null>(null);
  const [box, size] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const onScreen = useOnScreen(box);
  const stretch = p.look.stretch ?? (p.extent.columns > 6 * p.extent.rows || p.extent.rows > 6 * p.extent.columns);
  const three = p.paths.length === 3;
  const height = heightOf(size.width, p.extent, stretch, p.tall, !three);
  const frame = frameOf(size.width, height, window, stretch, !three);
  useEffect(() => setWindow(whole(p.extent)), [p.extent.rows, p.extent.columns, p.paths.join('\n')]);
  const { data, error: trouble } = useViews(p, window, { width: frame.width, height: frame.height }, onScreen);
  const views = data ?? none;
  const { raster, scalings } = useRaster(views, p.look);
  const exact = useExact(p.where, three ? null : p.paths[0] ?? null, p.index, spot, p.round);
  useEffect(() => {
    if (canvas.current && size.width)
      draw(canvas.current, frame, window, raster, views.find((v) => v) ?? null, spot, three ? null : scalings[0] ?? null, p.look.scale);
  });
  useTheme(); // the canvas takes its colours from it

  const at = (event: { clientX: number; clientY: number }) => {
    const edge = canvas.current!.getBoundingClientRect();
    const column = window.columns[0] + ((event.clientX - edge.left - frame.left) / frame.width) * (window.columns[1] - window.columns[0]);
    const row = window.rows[0] + ((event.clientY - edge.top - frame.top) / frame.height) * (window.rows[1] - window.rows[0]);
    return { row, column };
  };
  const inside = ({ row, column }: Spot) =>
    row >= window.rows[0] && row < window.rows[1] && column >= window.columns[0] && column < window.columns[1];
  const point = (event: { clientX: number; clientY: number }) => {
    const found = at(event);
    setSpot(inside(found) ? { row: Math.floor(found.row), column: Math.floor(found.column) } : null);
  };
  const centre = () => spot ?? { row: (window.rows[0] + window.rows[1]) / 2, column: (window.columns[0] + window.columns[1]) / 2 };
  const zoom = (factor: number, about = centre()) => setWindow((w) => zoomed(w, about, factor, p.extent));
  const fit = () => setWindow(whole(p.extent));
  useWheel(canvas, (event) => { if (inside(at(event))) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, at(event)); } });
  const fingers = useFingers({
    tapped: point,
    dragged: (from, to) => {
      const perColumn = (window.columns[1] - window.columns[0]) / frame.width, perRow = (window.rows[1] - window.rows[0]) / frame.height;
      setWindow((w) => moved(w, (from.clientY - to.clientY) * perRow, (from.clientX - to.clientX) * perColumn, p.extent));
    },
    pinched: (about, factor) => zoom(factor, at(about)),
  });
  const keys = (event: KeyboardEvent) => {
    const step = event.shiftKey ? 10 : 1;
    const walk: Record<string, [number, number]> = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] };
    const by = walk[event.key];
    if (by) {
      const from = centre();
      const to = {
        row: Math.min(p.extent.rows - 1, Math.max(0, Math.floor(from.row) + by[0])),
        column: Math.min(p.extent.columns - 1, Math.max(0, Math.floor(from.column) + by[1])),
      };
      setSpot(to);
      setWindow((w) => moved(w, Math.min(0, to.row - w.rows[0]) + Math.max(0, to.row + 1 - w.rows[1]),
        Math.min(0, to.column - w.columns[0]) + Math.max(0, to.column + 1 - w.columns[1]), p.extent));
    } else if (event.key === '+' || event.key === '=') zoom(0.8);
    else if (event.key === '-') zoom(1.25);
    else if (event.key === '0' || event.key === 'Escape') fit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const reading = spot ? readingOf(spot, views, exact, p) : '';
  const zoomedIn = !isWhole(window, p.extent);
  return (
    <div class="picture">
      <div class="canvas-box" ref={box} style={{ height: `${height}px` }}>
        <canvas ref={canvas} tabIndex={0} role="img" class={zoomedIn ? 'zoomed' : ''} data-testid="picture"
          aria-label={`Picture of ${p.paths.filter(Boolean).join(', ')}, ${p.extent.rows} rows of ${p.extent.columns}. Arrow keys move the cursor, plus and minus zoom, 0 shows all.`}
          data-snapshot={views.find((v) => v)?.snapshot ?? ''} data-window={[...rounded(window, p.extent).rows, ...rounded(window, p.extent).columns].join(',')}
          onKeyDown={keys} onPointerMove={(e) => { if (e.pointerType === 'mouse' && !e.buttons) point(e); }} {...fingers}
          onPointerLeave={(e) => { if (e.pointerType === 'mouse') setSpot(null); }} onDblClick={fit} />
      </div>
      <div class="under">
        <output class="reading" aria-live="polite" data-testid="reading">{reading || <span class="dim">{trouble ? '' : 'point at it for values'}</span>}</output>
        <span class="zoom">
          <IconButton icon="minus" label="Zoom out" onClick={() => zoom(1.5)} disabled={!zoomedIn} />
          <IconButton icon="plus" label="Zoom in" onClick={() => zoom(1 / 1.5)} />
          <IconButton icon="fit" label="Show all" onClick={fit} disabled={!zoomedIn} />
        </span>
      </div>
      {trouble && <p class="refused" role="status">{trouble.message}</p>}
    </div>
  );
}

function heightOf(width: number, extent: Extent, stretch: boolean, tall: boolean, withBar: boolean): number {
  const most = tall ? Math.max(240, globalThis.innerHeight - 250) : 380;
  const drawn = width - margin.left - margin.right - (withBar ? bar.gap + bar.width + bar.labels : 0);
  const wanted = stretch ? most * 0.75 : (drawn * extent.rows) / extent.columns + margin.top + margin.bottom;
  return Math.round(Math.min(most, Math.max(150, wanted)));
}

function readingOf(spot: Spot, views: (View | null)[], exact: number | null | undefined, p: Props): string {
  const place = `row ${spot.row}, column ${spot.column}`;
  if (p.paths.length === 3) {
    const values = views.map((v, i) => (v ? `${p.names?.[i] ?? 'RGB'[i]} ${measured(pixelAt(v, spot))}` : '')).filter(Boolean);
    return `${place}: ${values.join(', ')}`;
  }
  if (exact !== undefined) return `${place}: ${measured(exact)}`;
  const view = views[0];
  return view ? `${place}: \u2248 ${measured(pixelAt(view, spot))}` : place;
}

function useRaster(views: (View | null)[], look: Look) {
  const made = useRef<{ views: unknown; key: string; result: ReturnType<typeof rasterOf> } | null>(null);
  const key = JSON.stringify(look);
  if (!made.current || made.current.views !== views || made.current.key !== key) made.current = { views, key, result: rasterOf(views, look) };
  return made.current.result;
}

/** By hand, as what is registered by attribute cannot keep the page from scrolling. */
function useWheel(element: { current: HTMLElement | null }, turned: (event: WheelEvent) => void) {
  const latest = useRef(turned);
  latest.current = turned;
  useEffect(() => {
    const listen = (event: WheelEvent) => latest.current(event);
    const target = element.current!;
    target.addEventListener('wheel', listen, { passive: false });
    return () => target.removeEventListener('wheel', listen);
  }, []);
}

interface Place {
  clientX: number;
  clientY: number;
}

/** A tap, a drag, a pinch of two fingers. */
function useFingers(on: { tapped: (at: Place) => void; dragged: (from: Place, to: Place) => void; pinched: (about: Place, factor: number) => void }) {
  const down = useRef(new Map<number, Place>());
  const walked = useRef(0);
  const copy = (event: PointerEvent) => ({ clientX: event.clientX, clientY: event.clientY });
  const apart = (a: Place, b: Place) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  const up = (event: PointerEvent) => {
    if (down.current.delete(event.pointerId) && walked.current < 6 && event.type === 'pointerup') on.tapped(event);
  };
  return {
    onPointerDown: (event: PointerEvent) => {
      if (down.current.size === 0) walked.current = 0;
      down.current.set(event.pointerId, copy(event));
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
    },
    onPointerMoveCapture: (event: PointerEvent) => {
      const from = down.current.get(event.pointerId);
      if (!from) return;
      const other = [...down.current].find(([id]) => id !== event.pointerId)?.[1];
      const to = copy(event);
      walked.current += apart(from, to);
      if (other) {
        const about = { clientX: (to.clientX + other.clientX) / 2, clientY: (to.clientY + other.clientY) / 2 };
        if (apart(to, other) > 0) on.pinched(about, apart(from, other) / apart(to, other));
      } else on.dragged(from, to);
      down.current.set(event.pointerId, to);
    },
    onPointerUp: up,
    onPointerCancel: up,
  };
}
