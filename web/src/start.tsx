// A scan out of a trigger map: from a file, from a text, or the last one once more.
import { useMemo, useState } from 'preact/hooks';
import { askJson, control, post, type Progress } from './api.ts';
import { short, times } from './format.ts';
import { parseMap, postable, summary } from './maps.ts';

/** Longer ones are not put into the text field: browsers take too long over them. */
const longestShown = 200_000;

const example = `{
  "parts": {
    "line": {
      "pilatus": [[{"constraint": 0}], [{"constraint": 1}], [{"constraint": 2}]]
    }
  },
  "sequence": ["line", "line"]
}`;

function Given({ text }: { text: string }) {
  const said = useMemo(() => {
    try {
      const found = summary(parseMap(text));
      return { good: true, text: `${times(found.events, 'event')} of ${found.streams.join(', ') || 'no stream'}; ${times(found.parts.length, 'part')}` };
    } catch (error) {
      return { good: false, text: (error as Error).message };
    }
  }, [text]);
  return <p class={said.good ? 'done' : 'refused'} role="status" data-testid="map-summary">{said.text}</p>;
}

export function StartView({ progress, again }: { progress: Progress | null; again: () => void }) {
  const [text, setText] = useState('');
  const [origin, setOrigin] = useState('');
  const [wrap, setWrap] = useState(true);
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState<{ good: boolean; text: string } | null>(null);
  const [over, setOver] = useState(false);
  const running = !!progress && ['arming', 'running', 'draining'].includes(progress.state);

  const take = (content: string, from: string) => {
    setText(content);
    setOrigin(from);
    setSaid(null);
  };
  const takeFile = async (file: File | undefined) => {
    if (file) take(await file.text(), file.name);
  };
  const takeLast = async () => {
    try {
      const map = postable(await askJson(control('sequence')));
      if (map.sequence.length === 0) setSaid({ good: false, text: 'there was no scan yet' });
      else {
        take(JSON.stringify(map), 'the last scan');
        setWrap(true);
      }
    } catch (error) {
      setSaid({ good: false, text: (error as Error).message });
    }
  };
  const start = async () => {
    setBusy(true);
    setSaid(null);
    try {
      const map = parseMap(text);
      const id = await post(`sequence?all_wrap=${wrap}`, JSON.stringify(map));
      setSaid({ good: true, text: `Scan ${short(String(id))} has started: instruments may send.` });
      again();
    } catch (error) {
      setSaid({ good: false, text: (error as Error).message });
    } finally {
      setBusy(false);
    }
  };
  return (
    <section class="card start" aria-label="Start a scan">
      <h2>Start a scan</h2>
      <p class="dim">A trigger map says which stream has a frame in which event, and who gets it: a JSON object with{' '}
        <code>parts</code> and <code>sequence</code>, or with one list of events for each stream.</p>
      <div class={`drop${over ? ' over' : ''}`} onDragOver={(e) => { e.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
        onDrop={(e) => { e.preventDefault(); setOver(false); takeFile(e.dataTransfer?.files[0]); }}>
        <label class="file">Map file <input type="file" accept=".json,application/json" onChange={(e) => takeFile(e.currentTarget.files?.[0])} /></label>
        <button type="button" onClick={takeLast}>Take the last map</button>
      </div>
      {text.length > longestShown ? (
        <p class="notice">{origin}: {times(text.length, 'character')}, too long to be shown. <button type="button" onClick={() => take('', '')}>Clear</button></p>
      ) : (
        <label class="block">Map
          <textarea rows={12} spellcheck={false} placeholder={example} value={text} onInput={(e) => take(e.currentTarget.value, '')} />
        </label>
      )}
      {text && <Given text={text} />}
      <label class="check"><input type="checkbox" checked={wrap} onChange={(e) => setWrap(e.currentTarget.checked)} />
        Put an event for the start and end messages of the instruments before and behind it</label>
      {running && <p class="notice">A scan is running: a new one gives it up, and it will count as failed.</p>}
      <div class="buttons"><button type="button" class="primary" disabled={!text || busy} onClick={start}>{busy ? 'Getting everybody ready …' : 'Start'}</button></div>
      {said && <p class={`notice ${said.good ? 'good' : 'bad'}`} role={said.good ? 'status' : 'alert'} data-testid="start-said">{said.text}</p>}
    </section>
  );
}
