// How far the scan is, and how everybody is.
import { askJson, control, type Config, type Decision, type Progress, type Status } from './api.ts';
import { Decisions } from './decisions.tsx';
import { clock, duration, percent, rate, whole } from './format.ts';
import { usePoll } from './hooks.ts';
import { fates, Missing } from './parts.tsx';
import { Pipeline } from './pipeline.tsx';

interface Props {
  progress: Progress | null;
  config: Config | null;
  pace: number | null;
  interval: number;
}

function Figure(props: { name: string; children: preact.ComponentChildren; note?: preact.ComponentChildren; id?: string }) {
  return (
    <div class="figure">
      <span class="name">{props.name}</span>
      <span class="value" data-testid={props.id}>{props.children}</span>
      {props.note && <span class="note">{props.note}</span>}
    </div>
  );
}

export function FateBar({ counts, total }: { counts: Record<string, number>; total: number }) {
  const shown = Object.keys(fates).filter((f) => (counts[f] ?? 0) > 0);
  return (
    <div class="fates">
      <div class="stack" aria-hidden="true">
        {shown.map((f) => <span class={`fate-${f}`} style={{ width: `${(100 * counts[f]!) / Math.max(1, total)}%` }} />)}
      </div>
      <ul>
        {Object.keys(fates).map((f) => (
          <li class={counts[f] ? '' : 'none'} title={`An event that ${fates[f]}`}>
            <i class={`fate-${f}`} /> {f} <b data-testid={`fate-${f}`}>{whole(counts[f] ?? 0)}</b>
          </li>
        ))}
      </ul>
    </div>
  );
}

function ScanCard({ progress: p, pace }: { progress: Progress; pace: number | null }) {
  const active = !p.finished && p.state !== 'idle';
  const left = active && pace ? (p.total_events - p.completed_events) / pace : null;
  return (
    <section class="card" aria-label="Scan">
      <div class="figures">
        <Figure name="events" note={<>of {whole(p.total_events)}</>} id="events">{whole(p.completed_events)}</Figure>
        <Figure name="done">{p.total_events ? percent(p.completed_events / p.total_events) : '\u2013'}</Figure>
        <Figure name="rate" id="rate">{active && pace !== null ? rate(pace) : p.finished && p.seconds ? rate(p.completed_events / p.seconds) : '\u2013'}</Figure>
        <Figure name={active ? 'time left' : 'took'} note={left !== null ? `until about ${clock(Date.now() / 1000 + left, false)}` : undefined}>
          {active ? (left !== null ? duration(left) : '\u2013') : p.seconds ? duration(p.seconds) : '\u2013'}
        </Figure>
        {active && <Figure name="since the start">{duration(p.seconds)}</Figure>}
        <Figure name="given out, not done">{whole(Math.max(0, p.last_assigned - p.completed_events))}</Figure>
      </div>
      <FateBar counts={p.fates} total={p.total_events} />
      {p.trouble && <p class="notice bad">{p.trouble}</p>}
      {p.output && <p class="dim">Results are in <code>{p.output}</code></p>}
    </section>
  );
}

export function Overview({ progress, config, pace, interval }: Props) {
  const decided = usePoll<{ decisions: Decision[] }>((signal) => askJson(control('decisions'), { signal }), Math.max(1, interval));
  const status = usePoll<Status>((signal) => askJson(control('status'), { signal }), Math.max(0.2, interval));
  return (
    <>
      {progress && progress.total_events > 0
        ? <ScanCard progress={progress} pace={pace} />
        : progress && <section class="card"><p class="empty">No scan yet. <a href="#/start">Start one</a>, or have a control system
          post a map to <code>api/v1/sequence</code>.</p></section>}
      <Decisions decisions={decided.data?.decisions ?? []} most={5} />
      {status.error && <Missing route="api/v1/status" what="How everybody is cannot be shown:" error={status.error} />}
      {status.data && config && <Pipeline status={status.data} config={config} active={!!progress && !progress.finished && progress.state !== 'idle'} />}
    </>
  );
}
