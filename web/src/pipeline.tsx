// The pipeline as a picture: who is there, what goes from whom to whom, and where it waits.
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { AssemblerStatus, Config, ReducerStatus, Status, StreamStatus } from './api.ts';
import { bytes, percent, rate, times, whole } from './format.ts';
import { Meter } from './parts.tsx';
import { Counters, parseBottleneck, type Bottleneck } from './rates.ts';

type Level = 'good' | 'warn' | 'bad' | 'idle';

interface Worker {
  name: string;
  tags: string[];
  load: number | null; // 1: all the time in analysis code
  perSecond: number | null;
}

interface Process {
  name: string;
  status: AssemblerStatus | undefined;
  workers: Worker[];
}

const processOf = (worker: string) => worker.slice(worker.indexOf('.') + 1);
const sum = (values: (number | null | undefined)[]) => values.reduce<number>((a, b) => a + (b ?? 0), 0);

/** Workers by process, with what the counters say of each. */
function processes(status: Status, config: Config, counters: Counters): Process[] {
  const at = performance.now() / 1000;
  const found = new Map<string, Process>();
  const process = (name: string) => {
    if (!found.has(name)) found.set(name, { name, status: status.assemblers?.[name], workers: [] });
    return found.get(name)!;
  };
  for (const name of Object.keys(status.assemblers ?? {})) process(name);
  for (const worker of config.workers) {
    const spent = Object.values(status.processing_times?.[worker.name] ?? {})[0];
    const load = spent ? counters.read(`${worker.name} busy`, spent.custom_code, at) : null;
    const perSecond = spent ? counters.read(`${worker.name} events`, spent.no_events, at) : null;
    process(worker.process ?? processOf(worker.name)).workers.push({ name: worker.name, tags: worker.tags, load, perSecond });
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

function Node(props: { id: string; level: Level; title: string; sub?: ComponentChildren; bottleneck?: boolean; children?: ComponentChildren }) {
  return (
    <article class={`node ${props.level}${props.bottleneck ? ' bottleneck' : ''}`} data-node={props.id}>
      {props.bottleneck && <span class="flag">it waits for this</span>}
      <h3 title={props.title}>{props.title}</h3>
      {props.sub && <p class="sub">{props.sub}</p>}
      {props.children}
    </article>
  );
}

function levelOf(stream: StreamStatus): Level {
  const state = stream.state ?? '';
  if (stream.error || state.startsWith('cannot')) return 'bad';
  if (/^(silent|held back|waiting)/.test(state)) return 'warn';
  return state === 'reading' ? 'good' : 'idle';
}

function StreamNode({ name, stream, bottleneck }: { name: string; stream: StreamStatus; bottleneck: boolean }) {
  const flows = stream.state === 'reading' || stream.state?.startsWith('held');
  return (
    <Node id={`stream ${name}`} level={levelOf(stream)} title={name} sub={stream.protocol} bottleneck={bottleneck}>
      <p class={`says ${levelOf(stream)}`}>{stream.error ?? stream.state}</p>
      <p class="numbers" data-testid={`packets-${name}`}>{whole(stream.packets ?? 0)} messages</p>
      {flows && <p class="numbers"><b>{rate(stream.packets_per_second ?? 0)}</b> {bytes(stream.bytes_per_second ?? 0)}/s</p>}
    </Node>
  );
}

function oddities(stream: StreamStatus): string[] {
  const { ok: _, ...verdicts } = stream.verdicts ?? {};
  return Object.entries({ ...verdicts, ...stream.faults }).filter(([, n]) => n > 0).map(([what, n]) => `${whole(n)} ${what.replace(/_/g, ' ')}`);
}

function IngesterNode({ name, stream, process }: { name: string; stream: StreamStatus; process: string }) {
  const fill = stream.fill ?? 0;
  const odd = oddities(stream);
  const level = fill > 0.9 ? 'bad' : fill > 0.5 || odd.length ? 'warn' : levelOf(stream) === 'idle' ? 'idle' : 'good';
  return (
    <Node id={`ingester ${name}`} level={level} title={`${name} ingester`} sub={process}>
      <div class="row"><span>held</span><Meter label={`Queue of ${name}`} part={fill} level={fill > 0.9 ? 'bad' : fill > 0.5 ? 'warn' : 'good'}
        text={`${bytes(stream.held_bytes ?? 0)} of ${bytes(stream.budget_bytes ?? 0)}`} />
        <span class="fig">{percent(fill)}</span></div>
      <p class="numbers dim">{bytes(stream.held_bytes ?? 0)} of {bytes(stream.budget_bytes ?? 0)}</p>
      {odd.length > 0 && <p class="says warn">{odd.join(', ')}</p>}
    </Node>
  );
}

const loadLevel = (load: number) => (load > 0.9 ? 'bad' : load > 0.7 ? 'warn' : 'good');

function ProcessNode({ process, bottleneck }: { process: Process; bottleneck: boolean }) {
  const { status, workers } = process;
  const credit = sum((status?.windows ?? []).map((w) => w.window));
  const used = credit ? (status?.open_events ?? 0) / credit : 0;
  const memory = status?.memory ? (status.open_bytes ?? 0) / status.memory : 0;
  const loads = workers.filter((w) => w.load !== null);
  const load = loads.length ? sum(loads.map((w) => w.load)) / loads.length : null;
  const busy = load !== null && load > 0.9;
  return (
    <Node id={`process ${process.name}`} title={process.name} sub={times(workers.length, 'worker')} bottleneck={bottleneck}
      level={status?.error ? 'bad' : bottleneck || busy ? 'warn' : load ? 'good' : 'idle'}>
      {status?.error && <p class="says bad">{status.error}</p>}
      <ul class="workers" aria-label={`Workers of ${process.name}`}>
        {workers.map((w) => (
          <li class={w.load === null ? 'idle' : loadLevel(w.load)} title={`${w.name} [${w.tags.join(', ')}]: ${w.load === null ? 'nothing known yet' : `${percent(Math.min(1, w.load))} busy, ${rate(w.perSecond ?? 0)}`}`}>
            <span style={{ height: `${Math.min(1, w.load ?? 0) * 100}%` }} />
            <em class="hidden">{w.name}: {w.load === null ? 'idle' : percent(Math.min(1, w.load))}</em>
          </li>
        ))}
      </ul>
      <div class="row"><span>load</span><Meter label={`Load of ${process.name}`} part={load ?? 0} level={loadLevel(load ?? 0)} />
        <span class="fig">{load === null ? '\u2013' : percent(Math.min(1, load))}</span></div>
      {status && !status.error && (
        <>
          <div class="row"><span>credit</span><Meter label={`Events in hand of ${process.name}`} part={used} text={`${status.open_events} of ${credit} events`} />
            <span class="fig">{percent(Math.min(1, used))}</span></div>
          <div class="row"><span>memory</span><Meter label={`Memory of ${process.name}`} part={memory} level={memory > 0.9 ? 'bad' : memory > 0.6 ? 'warn' : 'good'} />
            <span class="fig">{percent(Math.min(1, memory))}</span></div>
        </>
      )}
      <p class="numbers"><b>{rate(sum(workers.map((w) => w.perSecond)))}</b></p>
    </Node>
  );
}

function ReducerNode({ name, status, perSecond, bottleneck }: { name: string; status: ReducerStatus; perSecond: number | null; bottleneck: boolean }) {
  return (
    <Node id="reducer" title="reducer" sub={name} bottleneck={bottleneck}
      level={status.error ? 'bad' : bottleneck ? 'warn' : perSecond ? 'good' : 'idle'}>
      {status.error && <p class="says bad">{status.error}</p>}
      <p class="numbers" data-testid="folded">{whole(status.folded ?? 0)} results folded</p>
      <p class="numbers"><b>{rate(perSecond ?? 0)}</b></p>
      {(status.rejected ?? 0) > 0 && <p class="says warn">{whole(status.rejected!)} rejected</p>}
      {status.output && <p class="numbers">to <code>{status.output}</code></p>}
      <p class="numbers"><a href="#/results">look at the results</a></p>
    </Node>
  );
}

interface Link {
  from: string;
  to: string;
  weight: number; // 0 to 1, of the busiest
}

/** Curves between the nodes, drawn behind them once it is known where they are. */
function Links({ links, version }: { links: Link[]; version: unknown }) {
  const svg = useRef<SVGSVGElement>(null);
  const [paths, setPaths] = useState<{ d: string; weight: number }[]>([]);
  const measure = () => {
    const frame = svg.current?.parentElement;
    if (!frame) return;
    const origin = frame.getBoundingClientRect();
    const boxes = new Map([...frame.querySelectorAll<HTMLElement>('[data-node]')].map((n) => [n.dataset.node!, n.getBoundingClientRect()]));
    setPaths(links.flatMap(({ from, to, weight }) => {
      const a = boxes.get(from), b = boxes.get(to);
      if (!a || !b || b.left < a.right) return [];
      const x1 = a.right - origin.left, y1 = a.top + a.height / 2 - origin.top;
      const x2 = b.left - origin.left, y2 = b.top + b.height / 2 - origin.top;
      const bend = (x2 - x1) / 2;
      return [{ d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, weight }];
    }));
  };
  useLayoutEffect(measure, [version]);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(svg.current!.parentElement!);
    return () => observer.disconnect();
  }, [links]);
  return (
    <svg class="links" ref={svg} aria-hidden="true">
      {paths.map(({ d, weight }) => (
        <g><path d={d} class="pipe" style={{ strokeWidth: `${1 + weight * 5}px` }} />{weight > 0 && <path d={d} class="flow" />}</g>
      ))}
    </svg>
  );
}

function linksOf(streams: [string, StreamStatus][], all: Process[], folding: boolean): Link[] {
  const most = Math.max(1, ...streams.map(([, s]) => s.bytes_per_second ?? 0));
  const links: Link[] = [];
  for (const [name, stream] of streams) {
    const flows = stream.state === 'reading' || stream.state?.startsWith('held');
    const part = flows ? (stream.bytes_per_second ?? 0) / most : 0;
    const weight = part > 0 ? Math.sqrt(part) : 0;
    links.push({ from: `stream ${name}`, to: `ingester ${name}`, weight });
    for (const p of all) links.push({ from: `ingester ${name}`, to: `process ${p.name}`, weight: weight / Math.sqrt(all.length) });
  }
  for (const p of all) links.push({ from: `process ${p.name}`, to: 'reducer', weight: folding ? 0.25 : 0 });
  return links;
}

/** With many streams each takes a line. */
const manyStreams = 8;

function Stage(props: { title: string; count: number; compact?: boolean; children: ComponentChildren }) {
  return (
    <div class={`stage${props.compact ? ' compact' : ''}`}>
      <h2>{props.title} <span class="dim">{props.count}</span></h2>
      {props.count === 0 ? <p class="empty">none</p> : props.children}
    </div>
  );
}

const wording = (found: Bottleneck, line: string) =>
  found.kind === 'none' ? line.replace(/^nothing: (.)/, (_, first: string) => first.toUpperCase()) : `Waits for ${line}`;

export function Pipeline({ status, config, active }: { status: Status; config: Config; active: boolean }) {
  const counters = useRef(new Counters());
  const streams = Object.entries(status.streams ?? {}).sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  const all = processes(status, config, counters.current);
  const [reducerName, reducer] = Object.entries(status.reducers ?? {})[0] ?? ['', undefined];
  const folding = reducer ? counters.current.read('folded', reducer.folded ?? 0, performance.now() / 1000) : null;
  const line = status.bottleneck ?? '';
  const found = active ? parseBottleneck(line, streams.map(([name]) => name)) : ({ kind: 'none', streams: [] } as Bottleneck);
  const hosts = new Map(config.ingesters.flatMap((i) => i.streams.map((s) => [s, i.process] as const)));
  return (
    <section class="card pipeline" aria-label="Pipeline">
      <p class={`verdict ${found.kind === 'none' ? 'good' : 'warn'}`} role="status" data-testid="bottleneck">{line && wording(found, line)}</p>
      <div class="stages">
        <Links links={linksOf(streams, all, !!folding)} version={status} />
        <Stage title="Streams" count={streams.length} compact={streams.length > manyStreams}>
          {streams.map(([name, s]) => <StreamNode key={name} name={name} stream={s} bottleneck={found.streams.includes(name)} />)}
        </Stage>
        <Stage title="Ingesters" count={streams.length} compact={streams.length > manyStreams}>
          {streams.map(([name, s]) => <IngesterNode key={name} name={name} stream={s} process={hosts.get(name) ?? ''} />)}
        </Stage>
        <Stage title="Workers" count={sum(all.map((p) => p.workers.length))}>
          {all.map((p) => <ProcessNode key={p.name} process={p} bottleneck={found.kind === 'workers'} />)}
        </Stage>
        <Stage title="Reducer" count={reducer ? 1 : 0}>
          {reducer && <ReducerNode name={reducerName} status={reducer} perSecond={folding} bottleneck={found.kind === 'reducer'} />}
        </Stage>
      </div>
      <p class="dim small">analysis <b>{config.analysis || 'none'}</b> · dtranspose {config.controller_version}</p>
    </section>
  );
}
