// What became of every event and every stream.
import { useState } from 'preact/hooks';
import { askJson, control, type Ledger, type StreamStatus } from './api.ts';
import { Decisions } from './decisions.tsx';
import { bytes, short, times, whole } from './format.ts';
import { usePoll } from './hooks.ts';
import { FateBar } from './overview.tsx';
import { Empty, fates, Missing } from './parts.tsx';

const pageOfTroubles = 200;

function Troubles({ ledger }: { ledger: Ledger }) {
  const [fate, setFate] = useState('');
  const [text, setText] = useState('');
  const [shown, setShown] = useState(pageOfTroubles);
  const all = ledger.troubles.filter((t) => (!fate || t.fate === fate) && t.cause.toLowerCase().includes(text.toLowerCase()));
  const occurring = Object.keys(fates).filter((f) => ledger.troubles.some((t) => t.fate === f));
  if (ledger.troubles.length === 0) return <Empty>No event went wrong.</Empty>;
  return (
    <>
      <div class="toolbar">
        <label>Fate <select value={fate} onChange={(e) => setFate(e.currentTarget.value)}>
          <option value="">all</option>{occurring.map((f) => <option>{f}</option>)}
        </select></label>
        <label>Cause <input type="search" placeholder="stream, process, ..." value={text} onInput={(e) => setText(e.currentTarget.value)} /></label>
        <span class="dim">{times(all.length, 'range')}</span>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Troubles">
        <table class="troubles">
          <thead><tr><th class="number">events</th><th class="number">how many</th><th>fate</th><th>cause</th></tr></thead>
          <tbody>
            {all.slice(0, shown).map((t) => (
              <tr>
                <td class="number">{whole(t.first)}{t.last > t.first && <> – {whole(t.last)}</>}</td>
                <td class="number">{whole(t.last - t.first + 1)}</td>
                <td><i class={`fate-${t.fate}`} /> {t.fate}</td>
                <td class="cause">{t.cause}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {all.length > shown && <button type="button" onClick={() => setShown(shown + pageOfTroubles)}>Show more</button>}
      {ledger.troubles_not_listed > 0 && <p class="notice">{times(ledger.troubles_not_listed, 'more range')} came after the list was full.</p>}
    </>
  );
}

function Streams({ streams }: { streams: Record<string, StreamStatus> }) {
  const names = Object.keys(streams).sort();
  const columns = [...new Set(names.flatMap((n) => [...Object.keys(streams[n]!.verdicts ?? {}), ...Object.keys(streams[n]!.faults ?? {})]))];
  const count = (s: StreamStatus, what: string) => s.verdicts?.[what] ?? s.faults?.[what] ?? 0;
  const used = columns.filter((c) => c === 'ok' || names.some((n) => count(streams[n]!, c) > 0));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Streams">
      <table>
        <thead><tr><th>stream</th><th>state</th><th>matched by</th><th class="number">entries</th>{used.map((c) => <th class="number">{c.replace(/_/g, ' ')}</th>)}<th class="number">received</th></tr></thead>
        <tbody>
          {names.map((n) => {
            const s = streams[n]!;
            return (
              <tr>
                <th scope="row">{n}</th><td>{s.error ?? s.state}</td><td>{s.matched_by}</td><td class="number">{whole(s.entries ?? 0)}</td>
                {used.map((c) => <td class={`number${c !== 'ok' && count(s, c) ? ' odd' : ''}`}>{whole(count(s, c))}</td>)}
                <td class="number">{bytes(s.received_bytes ?? 0)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

export function LedgerView({ interval }: { interval: number }) {
  const { data: ledger, error } = usePoll<Ledger>((signal) => askJson(control('ledger'), { signal }), Math.max(0.5, interval));
  if (error) return <Missing route="api/v1/ledger" what="There is no ledger:" error={error} />;
  if (!ledger) return null;
  if (!ledger.scan) return <section class="card"><Empty>No scan yet, so there is no ledger.</Empty></section>;
  const json = new Blob([JSON.stringify(ledger, null, 2)], { type: 'application/json' });
  const save = () => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(json);
    link.download = `${short(ledger.scan!)}.ledger.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  return (
    <>
      <section class="card" aria-label="Fates">
        <div class="title"><h2>Fates of {whole(ledger.events)} events <span class="dim">of scan {short(ledger.scan)}, {ledger.state}</span></h2>
          <button type="button" onClick={save}>Save as JSON</button></div>
        <FateBar counts={ledger.fates} total={ledger.events} />
        <p class="dim small">{whole(ledger.ended)} have ended, {whole(ledger.events - ledger.ended)} are open.</p>
      </section>
      <section class="card" aria-label="What went wrong"><h2>What went wrong</h2><Troubles ledger={ledger} /></section>
      <Decisions decisions={ledger.decisions ?? []} most={1000} />
      {ledger.complaints && ledger.complaints.length > 0 && (
        <section class="card" aria-label="Complaints"><h2>Complaints</h2>
          <ul>{ledger.complaints.map((c) => <li>{typeof c === 'string' ? c : JSON.stringify(c)}</li>)}</ul></section>
      )}
      {ledger.streams && <section class="card" aria-label="Streams of the scan"><h2>Streams</h2><Streams streams={ledger.streams} /></section>}
    </>
  );
}
