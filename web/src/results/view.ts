// What `view` answers, and where its pixels lie in the data.
import { ask } from '../api.ts';
import { address, type Where } from './server.ts';

/** A part of a picture, in rows and columns of the data: from, up to and without. */
export interface Window {
  rows: [number, number];
  columns: [number, number];
}

export interface View extends Window {
  scan: string;
  snapshot: number;
  height: number;
  width: number;
  full: number[];
  range: [number, number] | null; // of what is finite; null: nothing is
  pixels: Float32Array;
}

const numbers = (text: string | null, separator: string) => (text ?? '').split(separator).map(Number);

function pair(text: string | null, otherwise: [number, number]): [number, number] {
  const [a, b] = numbers(text, ':');
  return text && Number.isFinite(a) && Number.isFinite(b) ? [a!, b!] : otherwise;
}

export function parseView(headers: Headers, body: ArrayBuffer): View {
  const pixels = new Float32Array(body, 0, Math.floor(body.byteLength / 4));
  const [height = 0, width = 0] = numbers(headers.get('X-Shape'), ',');
  if (height * width !== pixels.length) throw new Error(`${height} x ${width} pixels were announced and ${pixels.length} came`);
  const full = numbers(headers.get('X-Full-Shape') ?? headers.get('X-Shape'), ',');
  const [low, high] = numbers(headers.get('X-Range'), ',');
  return {
    scan: headers.get('X-Scan') ?? '',
    snapshot: Number(headers.get('X-Snapshot') ?? 0),
    height, width, full, pixels,
    rows: pair(headers.get('X-Rows'), [0, full[full.length - 2] ?? 1]),
    columns: pair(headers.get('X-Columns'), [0, full[full.length - 1] ?? width]),
    range: Number.isFinite(low) && Number.isFinite(high) ? [low!, high!] : null,
  };
}

export interface Wanted {
  path: string;
  index?: number[];
  window?: Window | null;
  columns?: [number, number] | null;
  width: number;
  height?: number;
  reduce?: 'mean' | 'max' | 'nearest';
}

export async function fetchView(where: Where, wanted: Wanted, signal: AbortSignal): Promise<View> {
  const columns = wanted.window?.columns ?? wanted.columns;
  const answer = await ask(address(where, 'view', {
    path: wanted.path,
    index: wanted.index?.length ? wanted.index.join(',') : undefined,
    rows: wanted.window ? wanted.window.rows.join(':') : undefined,
    columns: columns ? columns.join(':') : undefined,
    width: Math.max(1, Math.round(wanted.width)),
    height: wanted.height === undefined ? undefined : Math.max(1, Math.round(wanted.height)),
    reduce: wanted.reduce,
  }), { signal });
  return parseView(answer.headers, await answer.arrayBuffer());
}

// --- windows -----------------------------------------------------------------------------------------

export interface Extent {
  rows: number;
  columns: number;
}

export const whole = (extent: Extent): Window => ({ rows: [0, extent.rows], columns: [0, extent.columns] });

const fewest = 4; // pixels across, at most magnified

function zoomSide([a, b]: [number, number], at: number, factor: number, length: number): [number, number] {
  const size = Math.min(length, Math.max(Math.min(fewest, length), (b - a) * factor));
  const from = at - ((at - a) / (b - a)) * size;
  return shiftSide([from, from + size], 0, length);
}

function shiftSide([a, b]: [number, number], by: number, length: number): [number, number] {
  const size = b - a;
  const from = Math.min(Math.max(0, a + by), Math.max(0, length - size));
  return [from, from + size];
}

/** `factor` below 1 magnifies; the point (row, column) stays where it is as far as the edges allow. */
export function zoomed(w: Window, at: { row: number; column: number }, factor: number, extent: Extent): Window {
  return {
    rows: zoomSide(w.rows, at.row, factor, extent.rows),
    columns: zoomSide(w.columns, at.column, factor, extent.columns),
  };
}

export function moved(w: Window, rows: number, columns: number, extent: Extent): Window {
  return { rows: shiftSide(w.rows, rows, extent.rows), columns: shiftSide(w.columns, columns, extent.columns) };
}

/** In whole pixels of the data, as the server wants it. */
export function rounded(w: Window, extent: Extent): Window {
  const side = ([a, b]: [number, number], length: number): [number, number] => {
    const from = Math.max(0, Math.min(length - 1, Math.floor(a)));
    return [from, Math.max(from + 1, Math.min(length, Math.ceil(b)))];
  };
  return { rows: side(w.rows, extent.rows), columns: side(w.columns, extent.columns) };
}

/** Does the picture show all there is? */
export const isWhole = (w: Window, extent: Extent) =>
  w.rows[0] <= 0 && w.columns[0] <= 0 && w.rows[1] >= extent.rows && w.columns[1] >= extent.columns;
