// Parameters of the analysis, as a form.
import { useEffect, useState } from 'preact/hooks';
import { ask, askJson, control, type Parameter } from './api.ts';
import { bytes } from './format.ts';
import { usePoll } from './hooks.ts';
import { Empty, Missing } from './parts.tsx';

const kinds: Record<Parameter['dtype'], string> = {
  str: 'text', binary: 'bytes', int: 'whole number', float: 'number', bool: 'yes or no',
};

const address = (name: string) => control(`parameter/${encodeURIComponent(name)}`);

/** The text that is sent for a described default. */
function written(p: Parameter): string {
  if (p.dtype === 'bool') return p.default === true || p.default === 'True' ? 'True' : 'False';
  return p.default === null || p.default === undefined ? '' : String(p.default);
}

function Field({ parameter: p }: { parameter: Parameter }) {
  const [current, setCurrent] = useState<string | null>(null); // as the server has it
  const [draft, setDraft] = useState<string | null>(null); // as the viewer has it; null: unchanged
  const [file, setFile] = useState<File | null>(null);
  const [refused, setRefused] = useState('');
  const [done, setDone] = useState(false);
  const kept = usePoll<ArrayBuffer>(async (signal) => (await ask(address(p.name), { signal })).arrayBuffer(), 5);
  useEffect(() => {
    if (kept.data) setCurrent(p.dtype === 'binary' ? bytes(kept.data.byteLength) : new TextDecoder().decode(kept.data));
  }, [kept.data]);

  const send = async (content: BodyInit) => {
    setRefused('');
    try {
      await ask(address(p.name), { method: 'POST', body: content, headers: { 'Content-Type': 'application/octet-stream' } });
      setDraft(null);
      setFile(null);
      setDone(true);
      kept.again();
    } catch (error) {
      setRefused((error as Error).message);
    }
  };
  const change = (text: string) => {
    setDone(false);
    setRefused('');
    setDraft(text === current ? null : text);
  };
  const value = draft ?? current ?? '';
  const id = `parameter-${p.name}`;
  const common = { id, 'aria-describedby': `${id}-about ${id}-said`, 'aria-invalid': refused ? true : undefined };
  return (
    <form class="parameter" onSubmit={(e) => { e.preventDefault(); send(p.dtype === 'binary' ? file ?? '' : value); }}>
      <label for={id}><b>{p.name}</b> <span class="kind">{kinds[p.dtype] ?? p.dtype}</span></label>
      <p class="dim" id={`${id}-about`}>{[p.description, written(p) !== '' && <>default <code>{written(p)}</code></>].filter(Boolean).map((part, i) => <>{i > 0 && ' \u00b7 '}{part}</>)}</p>
      <div class="entry">
        {p.dtype === 'bool' ? (
          <select {...common} value={value} onChange={(e) => change(e.currentTarget.value)}>
            <option value="True">yes</option><option value="False">no</option>
          </select>
        ) : p.dtype === 'binary' ? (
          <><input type="file" {...common} onChange={(e) => { setDone(false); setFile(e.currentTarget.files?.[0] ?? null); }} />
            <span class="dim">{current !== null && `now ${current}`}</span></>
        ) : (
          <input type="text" {...common} inputMode={p.dtype === 'int' ? 'numeric' : p.dtype === 'float' ? 'decimal' : 'text'}
            autocomplete="off" spellcheck={false} value={value} onInput={(e) => change(e.currentTarget.value)} />
        )}
        <button type="submit" class="primary" disabled={p.dtype === 'binary' ? !file : draft === null}>Set</button>
        {draft !== null && <button type="button" onClick={() => { setDraft(null); setRefused(''); }}>Undo</button>}
        {draft === null && p.dtype !== 'binary' && current !== null && current !== written(p) &&
          <button type="button" onClick={() => send(written(p))}>To default</button>}
      </div>
      <p id={`${id}-said`} class={refused ? 'refused' : 'done'} role="status">
        {refused || (done ? 'Set. It holds from the next batch of events on.' : kept.error && kept.error.status !== 404 ? kept.error.message : '')}
      </p>
    </form>
  );
}

export function ParametersView() {
  const { data, error } = usePoll<Parameter[]>((signal) => askJson(control('parameters'), { signal }), 10);
  const [filter, setFilter] = useState('');
  if (error) return <Missing route="api/v1/parameters" what="This system cannot change parameters while it runs:" error={error} />;
  if (!data) return null;
  const shown = data.filter((p) => `${p.name} ${p.description ?? ''}`.toLowerCase().includes(filter.toLowerCase()));
  return (
    <section class="card" aria-label="Parameters">
      <div class="title"><h2>Parameters</h2>
        {data.length > 6 && <input type="search" aria-label="Find a parameter" placeholder="find" value={filter} onInput={(e) => setFilter(e.currentTarget.value)} />}</div>
      {data.length === 0 && <Empty>The analysis has no parameters.</Empty>}
      <div class="parameters">{shown.map((p) => <Field key={p.name} parameter={p} />)}</div>
    </section>
  );
}
