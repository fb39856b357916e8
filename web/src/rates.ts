// Rates out of counters, and the time that is left.

/** Growth per second of counters by name, from one reading to the next; smoothed. */
export class Counters {
  private last = new Map<string, { value: number; at: number; rate: number | null }>();

  constructor(private readonly smoothing = 0.5) {}

  /** Null until it has been read twice. A counter that went back began anew. `at` in seconds. */
  read(name: string, value: number, at: number): number | null {
    const before = this.last.get(name);
    if (!before || value < before.value) {
      this.last.set(name, { value, at, rate: null });
      return null;
    }
    const passed = at - before.at;
    if (passed < 0.05) return before.rate;
    const now = (value - before.value) / passed;
    const rate = before.rate === null ? now : before.rate + (now - before.rate) * this.smoothing;
    this.last.set(name, { value, at, rate });
    return rate;
  }
}

/** How fast a scan went lately, and so how long it will take. */
export class Pace {
  private seen: { events: number; at: number }[] = [];
  private scan = '';

  constructor(private readonly window = 15) {}

  /** Events per second over the last `window` seconds; null before there is a second reading. */
  read(scan: string, events: number, at: number): number | null {
    const last = this.seen[this.seen.length - 1];
    if (scan !== this.scan || (last && events < last.events)) this.seen = [];
    this.scan = scan;
    this.seen.push({ events, at });
    while (this.seen.length > 2 && at - this.seen[0]!.at > this.window) this.seen.shift();
    const first = this.seen[0]!;
    return at - first.at < 0.2 ? null : (events - first.events) / (at - first.at);
  }
}

/** Whom the line `bottleneck` of `status` speaks of. */
export interface Bottleneck {
  kind: 'none' | 'stream' | 'workers' | 'reducer' | 'other';
  streams: string[];
}

export function parseBottleneck(line: string, streams: string[]): Bottleneck {
  if (line === '' || line.startsWith('nothing')) return { kind: 'none', streams: [] };
  if (line.startsWith('the reducer') || line.startsWith('reducers/')) return { kind: 'reducer', streams: [] };
  if (line.startsWith('workers')) return { kind: 'workers', streams: [] };
  if (line.startsWith('stream')) {
    const named = streams.filter((s) => line.includes(`'${s}'`) || line.startsWith(`streams/${s}:`));
    return { kind: 'stream', streams: named };
  }
  return { kind: 'other', streams: [] };
}
