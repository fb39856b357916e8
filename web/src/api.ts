// What the page asks of the two servers, with the viewer's token where they want one.

/** A server said no, or nobody answered (status 0). */
export class Refusal extends Error {
  constructor(readonly status: number, text: string) {
    super(text);
  }
}

const tokenKey = 'dtranspose.token';
let token = sessionStorage.getItem(tokenKey) ?? '';
let onTokenWanted: (why: string) => void = () => {};

export function whenTokenIsWanted(tell: (why: string) => void) {
  onTokenWanted = tell;
}

export function useToken(text: string) {
  token = text.trim();
  sessionStorage.setItem(tokenKey, token);
}

async function refusal(answer: Response): Promise<Refusal> {
  let text = `${answer.status} ${answer.statusText}`;
  try {
    const { detail } = await answer.json();
    if (typeof detail === 'string') text = detail;
    else if (detail !== undefined) text = JSON.stringify(detail);
  } catch {
    // No JSON: the status says it.
  }
  return new Refusal(answer.status, text);
}

/** The answer, if it is a good one; throws a Refusal otherwise. */
export async function ask(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  let answer: Response;
  try {
    answer = await fetch(url, { ...init, headers, cache: 'no-store' });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new Refusal(0, 'nobody answers');
  }
  if (answer.ok) return answer;
  const why = await refusal(answer);
  if (answer.status === 401) onTokenWanted(token ? why.message : '');
  throw why;
}

const oddNumber = '\ue000';

/** JSON as measurements need it: with the bare words NaN, Infinity and -Infinity. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) => (found[0] === '"' ? found : `"${oddNumber}${found}"`));
    if (quoted === text) throw error;
    return JSON.parse(quoted, (_, value) => (typeof value === 'string' && value[0] === oddNumber ? Number(value.slice(1)) : value));
  }
}

export async function askJson<T>(url: string, init?: RequestInit): Promise<T> {
  return parseJson(await (await ask(url, init)).text()) as T;
}

/** A route of the control port. */
export const control = (route: string) => `api/v1/${route}`;

export const post = (route: string, body?: BodyInit) =>
  askJson<unknown>(control(route), { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });

// --- what is answered ------------------------------------------------------------------------------

export type Fates = Record<string, number>;

export interface Progress {
  scan: string;
  state: string;
  finished: boolean;
  total_events: number;
  last_assigned: number;
  completed_events: number;
  fates: Fates;
  seconds: number;
  output: string;
  trouble: string;
}

export interface StreamStatus {
  error?: string;
  protocol?: string;
  state?: string;
  matched_by?: string;
  address?: string;
  connected?: boolean;
  packets?: number;
  packets_per_second?: number;
  bytes_per_second?: number;
  entries?: number;
  held_bytes?: number;
  budget_bytes?: number;
  fill?: number;
  received_bytes?: number;
  verdicts?: Record<string, number>;
  faults?: Record<string, number>;
  waiting_for_event?: number;
}

export interface AssemblerStatus {
  error?: string;
  workers?: number;
  memory?: number;
  holes?: number;
  open_events?: number;
  open_bytes?: number;
  windows?: { window: number; processed: number }[];
}

export interface ReducerStatus {
  error?: string;
  armed?: boolean;
  output?: string;
  folded?: number;
  rejected?: number;
  duplicates?: number;
  unsynced_bytes?: number;
}

export interface Status {
  bottleneck?: string;
  streams?: Record<string, StreamStatus>;
  assemblers?: Record<string, AssemblerStatus>;
  reducers?: Record<string, ReducerStatus>;
  processing_times?: Record<string, Record<string, { custom_code: number; no_events: number }>>;
}

export interface Config {
  ingesters: { name: string; process: string; streams: string[] }[];
  workers: { name: string; process: string; tags: string[]; processed_events: number }[];
  reducer: { name: string; process: string } | null;
  controller_version: string;
  analysis: string;
  results?: string | null;
}

export interface Trouble {
  first: number;
  last: number;
  fate: string;
  cause: string;
}

export interface Decision {
  number: number;
  name: string;
  value: unknown;
  event: number | null;
  made: number; // seconds since 1970
  valid_until: number | null;
  stop: boolean;
}

export interface Ledger {
  decisions?: Decision[];
  scan: string | null;
  state: string;
  events: number;
  ended: number;
  fates: Fates;
  troubles: Trouble[];
  troubles_not_listed: number;
  complaints?: unknown[];
  streams?: Record<string, StreamStatus>;
}

export interface Parameter {
  name: string;
  description: string | null;
  dtype: 'str' | 'binary' | 'int' | 'float' | 'bool';
  default: unknown;
}

export interface LogLine {
  time: number;
  levelname: string;
  msg: string;
  component: string;
}

export interface Item {
  path: string;
  kind: 'group' | 'number' | 'text' | 'bool' | 'array' | 'bytes';
  dtype?: string;
  shape?: number[];
  attributes?: Record<string, unknown>;
  value?: unknown;
}

export interface Tree {
  scan: string | null;
  snapshot: number;
  results: number;
  finished: boolean;
  items: Item[];
}

export interface Snapshots {
  scan: string | null;
  scans: { scan: string; latest: number; finished: boolean }[];
  latest: number;
  finished: boolean;
  snapshots: { number: number; seconds: number; results: number }[];
}
