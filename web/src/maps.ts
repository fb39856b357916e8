// Trigger maps: what is in one, before it is posted.

type Slot = null | unknown[];
export interface TriggerMap {
  parts: Record<string, Record<string, Slot[]>>;
  sequence: string[];
}

export interface MapSummary {
  events: number;
  streams: string[];
  parts: string[];
}

/** Made by the server around every map. */
const wrap = 'reserved_start_end';

/** Parses what a person gives: a sequence, or the streams of a single part. Throws an Error that says what is wrong. */
export function parseMap(text: string): TriggerMap {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Error(`this is not JSON: ${(error as Error).message}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new Error('a map is an object with "parts" and "sequence", or one with a list for each stream');
  const map = given as Record<string, unknown>;
  if ('parts' in map !== 'sequence' in map)
    throw new Error('a map has both "parts" and "sequence"');
  if (!('parts' in map)) return { parts: { main: map as Record<string, Slot[]> }, sequence: ['main'] };
  return map as unknown as TriggerMap;
}

export function summary(map: TriggerMap): MapSummary {
  const length = (part: string) => {
    const streams = map.parts[part];
    if (!streams) throw new Error(`the sequence names part "${part}", which is not there`);
    return Math.max(0, ...Object.values(streams).map((slots) => slots.length));
  };
  return {
    events: map.sequence.reduce((n, part) => n + length(part), 0),
    streams: [...new Set(Object.values(map.parts).flatMap((p) => Object.keys(p)))].sort(),
    parts: Object.keys(map.parts),
  };
}

/** A map as `GET sequence` gives it, in the form in which it can be posted again: without the wrap. */
export function postable(got: { parts: Record<string, { mapping: Record<string, Slot[]> }>; sequence: string[] }): TriggerMap {
  const parts = Object.entries(got.parts).filter(([name]) => name !== wrap).map(([name, part]) => [name, part.mapping] as const);
  return { parts: Object.fromEntries(parts), sequence: got.sequence.filter((name) => name !== wrap) };
}
