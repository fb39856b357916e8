// What the analysis has decided.
import { type Decision } from './api.ts';
import { clock, whole } from './format.ts';

function said(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? whole(value) : value.toPrecision(4);
  if (value && typeof value === 'object' && !Array.isArray(value))
    return Object.entries(value).map(([name, x]) => `${name.replace(/_/g, ' ')} ${said(x)}`).join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The latest first. */
export function Decisions({ decisions, most }: { decisions: Decision[]; most: number }) {
  if (decisions.length === 0) return null;
  const shown = decisions.slice(-most).reverse();
  return (
    <section class="card" aria-label="Decisions">
      <h2>Decisions <span class="dim">of the analysis</span></h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="List of decisions">
        <table class="decisions">
          <thead><tr><th>at</th><th class="number">event</th><th>what</th><th>says</th></tr></thead>
          <tbody>
            {shown.map((d) => (
              <tr key={d.number}>
                <td><time title={new Date(d.made * 1000).toISOString()}>{clock(d.made)}</time></td>
                <td class="number">{d.event === null ? '–' : whole(d.event)}</td>
                <th scope="row">{d.name.replace(/_/g, ' ')}{d.stop && <span class="dim"> (may stop)</span>}</th>
                <td class="cause">{said(d.value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {decisions.length > most && <p class="dim small">{whole(decisions.length - most)} before them.</p>}
    </section>
  );
}
