// From values to colours.

/** Colours at equal steps; between them is interpolated. */
const scales: Record<string, string[]> = {
  viridis: ['440154', '482878', '3e4a89', '31688e', '26828e', '1f9e89', '35b779', '6ece58', 'b5de2b', 'fde725'],
  inferno: ['000004', '1b0c41', '4a0c6b', '781c6d', 'a52c60', 'cf4446', 'ed6925', 'fb9b06', 'f7d13d', 'fcffa4'],
  grey: ['000000', 'ffffff'],
  'grey inverted': ['ffffff', '000000'],
  'blue to red': ['1b3d8f', '3f7fc4', '9cc5e3', 'f4f3f1', 'f2b48f', 'cf5a45', '8c1127'],
};

export const scaleNames = Object.keys(scales);

const table = new Map<string, Uint8ClampedArray>();

/** 256 colours, RGB. */
export function colours(name: string): Uint8ClampedArray {
  const known = table.get(name);
  if (known) return known;
  const stops = (scales[name] ?? scales.viridis!).map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const made = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; ++i) {
    const at = (i / 255) * (stops.length - 1);
    const left = Math.min(stops.length - 2, Math.floor(at));
    for (let c = 0; c < 3; ++c) made[3 * i + c] = stops[left]![c]! + (stops[left + 1]![c]! - stops[left]![c]!) * (at - left);
  }
  table.set(name, made);
  return made;
}

export interface Scaling {
  low: number;
  high: number;
  log: boolean;
}

/** Where a value lies between low and high, 0 to 1; NaN for what has no place. */
export function place(x: number, { low, high, log }: Scaling): number {
  if (Number.isNaN(x)) return NaN;
  if (!log) return high > low ? Math.min(1, Math.max(0, (x - low) / (high - low))) : x >= high && high !== low ? 1 : 0.5;
  if (!(high > 0)) return NaN;
  const floor = low > 0 ? low : high * 1e-4;
  if (x <= floor) return 0;
  return Math.min(1, Math.log(x / floor) / Math.log(high / floor));
}

/** The value at a place: the other way round. */
export function valueAt(part: number, { low, high, log }: Scaling): number {
  if (!log || !(high > 0)) return low + (high - low) * part;
  const floor = low > 0 ? low : high * 1e-4;
  return floor * (high / floor) ** part;
}

export type RangeMode = 'full' | 'most' | 'fixed';

/** What is left without the lowest and the highest two in a thousand: a hot pixel does not turn all else black. */
export function middle(pixels: Float32Array, part = 0.002): [number, number] | null {
  const step = Math.max(1, Math.floor(pixels.length / 50000));
  const sample: number[] = [];
  for (let i = 0; i < pixels.length; i += step) if (Number.isFinite(pixels[i]!)) sample.push(pixels[i]!);
  if (sample.length === 0) return null;
  sample.sort((a, b) => a - b);
  const at = (p: number) => sample[Math.round(p * (sample.length - 1))]!;
  return [at(part), at(1 - part)];
}

/** Least positive value: where a logarithmic scale may begin. */
export function leastPositive(pixels: Float32Array): number {
  let least = Infinity;
  for (const x of pixels) if (x > 0 && x < least) least = x;
  return least;
}

/** Colours of a picture; what is not a number stays see-through. `out` is RGBA. */
export function paint(pixels: Float32Array, scaling: Scaling, scale: string, out: Uint8ClampedArray) {
  const palette = colours(scale);
  for (let i = 0; i < pixels.length; ++i) {
    const part = place(pixels[i]!, scaling);
    if (Number.isNaN(part)) {
      out[4 * i + 3] = 0;
      continue;
    }
    const from = 3 * Math.round(part * 255);
    out[4 * i] = palette[from]!;
    out[4 * i + 1] = palette[from + 1]!;
    out[4 * i + 2] = palette[from + 2]!;
    out[4 * i + 3] = 255;
  }
}

/** Three pictures as red, green and blue; an absent one is dark. */
export function paintThree(layers: ({ pixels: Float32Array; scaling: Scaling } | null)[], out: Uint8ClampedArray) {
  for (let i = 0; i < out.length / 4; ++i) {
    let any = false;
    for (let c = 0; c < 3; ++c) {
      const layer = layers[c];
      const part = layer ? place(layer.pixels[i] ?? NaN, layer.scaling) : NaN;
      any ||= !Number.isNaN(part);
      out[4 * i + c] = Number.isNaN(part) ? 0 : Math.round(part * 255);
    }
    out[4 * i + 3] = any ? 255 : 0;
  }
}

/** Round numbers between two values, about so many. */
export function ticks(low: number, high: number, about: number): number[] {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const rough = span / Math.max(1, about);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough)!;
  const found: number[] = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return found;
}
