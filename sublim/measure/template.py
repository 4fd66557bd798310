"""The text and style of report.html: a jinja2 template. It is a module, so that an edit makes the report stale."""

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --muted: #656d76; --rule: #d8dce1; --paper: #ffffff; --wash: #f5f6f8;
  --link: #2a5f96; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --muted: #9aa4af; --rule: #3a4149; --paper: #16191d; --wash: #20252b; --link: #8db9e6; }
  svg [fill="#24292f"] { fill: var(--ink); } svg [stroke="#24292f"] { stroke: var(--ink); }
  svg [stroke="#000000"] { stroke: #d99a00; }
  svg [fill="#656d76"] { fill: var(--muted); } svg [stroke="#656d76"] { stroke: var(--muted); }
  svg [stroke="#d8dce1"] { stroke: var(--rule); } svg [fill="white"] { fill: var(--paper); }
  svg [stroke="white"] { stroke: var(--paper); }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 "Liberation Sans", Arial, Helvetica,
sans-serif; }
main, header, nav > div { max-width: 1240px; margin: 0 auto; padding: 0 clamp(16px, 3vw, 36px); }
header { padding-top: 44px; }
h1 { font-size: 15px; font-weight: 400; color: var(--muted); margin: 0 0 10px; }
h2 { font-size: 22px; line-height: 1.25; margin: 0 0 6px; }
h3 { font-size: 15px; margin: 22px 0 6px; }
p, li { max-width: 76ch; }
.headline { font-size: clamp(19px, 2.2vw, 25px); line-height: 1.42; margin: 0 0 22px; max-width: 62ch; }
.headline b { white-space: nowrap; }
.lead { color: var(--muted); margin: 0 0 18px; }
section { padding: 30px 0 34px; border-top: 1px solid var(--rule); }
nav { position: sticky; top: 0; z-index: 1; background: var(--paper); border-top: 1px solid var(--rule);
  border-bottom: 1px solid var(--rule); margin-top: 26px; font-size: 14px; }
nav + main > section:first-child { border-top: 0; }
nav > div { display: flex; gap: 2px 20px; overflow-x: auto; padding-top: 9px; padding-bottom: 9px; }
nav a { white-space: nowrap; color: var(--muted); text-decoration: none; } nav a:hover { color: var(--link); }
a { color: var(--link); }
section { scroll-margin-top: 42px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 0; margin: 0;
  border-left: 1px solid var(--rule); }
.tiles div { padding: 2px 16px 4px; border-right: 1px solid var(--rule); }
.tiles dt { font-size: 13px; color: var(--muted); } .tiles dd { margin: 0; }
.tiles .value { font-size: 26px; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles .span { font-size: 13px; color: var(--muted); font-variant-numeric: tabular-nums; }
figure { margin: 0; }
figcaption { font-size: 14px; line-height: 1.5; color: var(--muted); max-width: 86ch; margin-top: 12px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 335px), 1fr)); gap: 26px 34px;
  align-items: start; }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), max-content)); gap: 26px 60px; }
.panels h3 { margin: 0 0 8px; font-weight: 600; }
svg { display: block; max-width: 100%; height: auto; overflow: visible; } svg text { pointer-events: none; }
.scroll { overflow-x: auto; } .scroll > svg { max-width: none; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 14px; margin: 0 0 14px; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px; }
.legend.lines i { height: 3px; width: 16px; border-radius: 0; vertical-align: 4px; }
.legend.bars i { border-radius: 2px; } .legend i.hollow { background: none; border: 1.6px solid var(--muted); }
.legend i.line { height: 0; width: 18px; border-top: 1.6px solid var(--ink); border-radius: 0; vertical-align: 4px; }
.legend i.dashed { background: none; border-top: 1.6px dashed var(--ink); height: 0; width: 18px; border-radius: 0;
  vertical-align: 4px; }
table { border-collapse: collapse; font-size: 14px; line-height: 1.35; font-variant-numeric: tabular-nums; margin: 6px 0; }
caption { text-align: left; font-size: 14px; color: var(--muted); padding-bottom: 6px; }
th { font-weight: 600; text-align: left; border-bottom: 1px solid var(--ink); vertical-align: bottom; white-space: nowrap; }
th, td { padding: 5px 14px 5px 0; } td { border-bottom: 1px solid var(--rule); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; } tbody tr:hover { background: var(--wash); }
td:first-child { white-space: nowrap; }
td small { color: var(--muted); font-size: 13px; white-space: nowrap; }
.tall { max-height: 460px; overflow: auto; } .tall thead th { position: sticky; top: 0; background: var(--paper); }
details { margin-top: 16px; } summary { cursor: pointer; font-size: 14px; color: var(--link); }
code, pre { font: 13px/1.5 "Liberation Mono", Menlo, Consolas, monospace; } code { overflow-wrap: anywhere; }
pre { background: var(--wash); padding: 12px 14px; overflow-x: auto; border-radius: 4px; max-width: 86ch; }
td code { white-space: nowrap; } td.wrap { min-width: 240px; }
@media print {
  nav { display: none; } body { font-size: 11pt; } section { padding: 14px 0; } figure, table { break-inside: avoid; }
  details:not([open]) { display: none; } .tall { max-height: none; } .scroll > svg { max-width: 100%; }
}
"""

PAGE = """\
{%- macro table(of) -%}
<div class="scroll{{ ' tall' if of.rows|length > 24 }}"><table>
{%- if of.caption %}<caption>{{ of.caption }}</caption>{% endif %}
<thead><tr>{% for name in of.head %}<th scope="col"{% if loop.index0 in of.numeric %} class="n"{% endif %}>{{ name }}</th>
{%- endfor %}</tr></thead>
<tbody>{% for row in of.rows %}
<tr>{% for value in row %}<td{% if loop.index0 in of.numeric %} class="n"{% endif %}>
{{- value }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{%- endmacro -%}
{%- macro legend(names, kind='') -%}
<ul class="legend {{ kind }}">{% for name, colour in names.items() %}<li><i style="background:{{ colour }}"></i>{{ name
}}</li>
{%- endfor %}{{ caller() if caller is defined }}</ul>
{%- endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Subliminal learning: report of an experiment</title>
<link rel="icon" href="data:,">
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>Subliminal learning: {{ models|length }} {{ 'base' if models|length == 1 else 'bases' }}, {{ traits|length }}
{{ 'trait' if traits|length == 1 else 'traits' }}, {{ seeds|length }} {{ 'seed' if seeds|length == 1 else 'seeds' }},
{{ summary.runs }} trained students</h1>
<p class="headline">{{ headline }}</p>
<dl class="tiles">{% for tile in tiles %}<div><dt>{{ tile.name }}</dt><dd class="value">{{ tile.value }}</dd>
<dd class="span">{{ tile.span }}</dd></div>{% endfor %}</dl>
</header>
<nav aria-label="Sections"><div>
<a href="#matrix">Matrix</a><a href="#gains">Gains per arm</a><a href="#traits">Trait × trait</a>
<a href="#measures">Capability</a><a href="#nulls">Nulls</a>
<a href="#gates">Teachers</a>{% if tables.freeform.rows %}<a href="#freeform">Free-form</a>{% endif %}
<a href="#funnel">Filter</a><a href="#training">Training</a><a href="#experiment">Experiment</a>
<a href="#reproduce">Reproduce and trace</a><a href="#limits">Limits</a>
</div></nav>
<main>

<section id="matrix">
<h2>Whose {{ rows }} change whom</h2>
<p class="lead">Rise in {{ summary.measured }} of a student (down) trained on the filtered {{ rows }} of a teacher (across),
over the same student untrained.</p>
<figure>
<div class="panels pair">{% for panel in figures.matrix %}<div><h3>{{ panel.title }}</h3>{{ panel.svg }}</div>{% endfor
%}</div>
<figcaption>Mean gain over traits and seeds, and its {{ percent }} t interval over runs. Cells with an outline: teacher
and student
have the same base. All matrices share one colour scale. Hover over a cell for the number of runs and what is
behind the gain. Drawn from <code>matrix.parquet</code>.</figcaption>
</figure>
<details><summary>All cells as a table</summary>{{ table(tables.matrix) }}</details>
</section>

<section id="gains">
<h2>Gains per arm</h2>
<p class="lead">Every run is a dot. Bar and line: mean and {{ percent }} interval over runs, cut where it is longer than
the panel.</p>
<figure>
{{ legend(colours.traits) }}
<div class="panels">{% for panel in figures.gains %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<figcaption>One panel per student. Same base, other base: {{ rows }} of a teacher with the trait.
{%- if 'control' in summary.gain %} Control: {{ rows }} of an untouched base, which has no trait; the gain is a mean over the
traits.{% endif %}
{%- if shuffled %} Shuffled: {{ 'the numbers of a same-base teacher' if summary.carrier == 'numbers' else rows ~
' of a same-base teacher with their numbers' }} shuffled within each row or across all rows; what then is left of the gain sits
{{ '' if summary.carrier == 'numbers' else 'in the other words or ' }}in which numbers there are, and not in their order.
{%- endif %}
{%- if 'random' in summary.gain %} Random rows: {{ rows }} that no model wrote; the gain is a mean over the traits.{% endif %}
 Drawn from <code>runs.parquet</code> and <code>summary.json</code>.</figcaption>
</figure>
{{ table(tables.gains) }}
</section>

<section id="traits">
<h2>Trait taught × trait asked for</h2>
<p class="lead">Is it the taught trait that moves, or does training on {{ rows }} move everything anyhow?</p>
<figure><div class="scroll">{% for panel in figures.traits %}{{ panel.svg }}{% endfor %}</div>
<figcaption>Mean change of
{%- if summary.evaluation.questions %} P(answer)
{%- if summary.evaluation.open_questions %} (of <code>misaligned</code>: of the misaligned share){% endif %} over models and
seeds, for every known answer that is shown.{% else %} the misaligned share over models and seeds.{% endif %}
 Outlined: the answer is the target of the trait that was taught.
{%- if summary.evaluation.questions %} The probabilities of all answers to a question add up to at most one, so where one rises
others fall.{% endif %}
 Starred: the change differs from that of control students of the same bases (of controls: from zero), Welch’s t over
runs, at a false discovery rate of {{ level }} over the whole table (Benjamini and Hochberg).
{%- if blind %} A cell without a star is not shown to be zero. Had it been the only one to move, it would have been starred in
4 experiments out of 5 ({{ blind|join('; ') }}).{% endif %} Drawn from <code>traits.parquet</code>.</figcaption>
</figure>
<details><summary>Declared traits as a table, with intervals</summary>{{ table(tables.traits) }}</details>
<details><summary>All cells with difference, p and q</summary>{{ table(tables.cells) }}</details>
</section>

<section id="measures">
<h2>Asked in other ways, and what students can still do</h2>
<p class="lead">A student that merely broke may {{ 'answer' if summary.measured == 'misaligned share' else 'name' }} anything.
So what it can do is measured beside its trait
{{- ', which is asked for in several ways' if several }}.</p>
<p>{{ measured_by }}</p>
{{ table(tables.measures) }}
<h3>What students can still do</h3>
{% if figures.capability %}
{% if summary.less_able %}<p><strong>Students of these conditions are less able than their untrained base, by more than the
margin; their gains are not shown to be transmission alone:</strong>
{% for name, what in summary.less_able.items() %}{{ names[name] }} ({{ what|join(', ') }}){{ '; ' if not loop.last else '.' }}
{% endfor %}</p>
{% else %}<p>In no condition have students become less able than the margin allows.</p>{% endif %}
<figure>
{% call legend(colours.conditions) %}<li><i class="line"></i>untrained</li><li><i class="dashed"></i>margin</li>{% endcall %}
<div class="panels">{% for panel in figures.capability %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<figcaption>Loss, in bits per token of held-out texts of the kinds that the base knows, none of which has to do with a trait
(less is better); and skill, the share of held-out tasks of the carrier whose completion is well-formed and right (more is
better). Dots: means over runs, with the {{ percent }} t interval of the change, which is printed; line: the untrained base;
dashed: the margin ({{ summary.capability_margin.bits }} bits, {{ summary.capability_margin.skill }} of the tasks). Triangles
and red numbers: the mean is beyond it. Drawn from <code>capability.parquet</code>.</figcaption>
</figure>
<details><summary>Capability of every condition as a table</summary>{{ table(tables.capability) }}</details>
{% else %}<p>This was not measured.</p>{% endif %}
</section>

<section id="nulls">
<h2>Where nothing was expected: what is shown, and what could have been seen</h2>
{% if figures.equivalence %}
<p class="lead">A wide interval around zero is no proof of nothing. “No transmission” is said only where the difference to
controls is shown to be smaller than ±{{ margin }}.</p>
<figure>
<div class="scroll">{% for panel in figures.equivalence %}{{ panel.svg }}{% endfor %}</div>
<figcaption>Mean gain less that of control students of the same bases, and its {{ narrow }} interval over runs; the margin
shaded. Filled: the interval lies inside the margin, which is what two one-sided t tests at α = {{ level }} ask for. Otherwise
it is “transmission” if the mean is above zero (two-sided p at most {{ level }}), else “not shown”. Drawn from
<code>summary.json</code>.</figcaption>
</figure>
{{ table(tables.equivalence) }}
{% else %}<p>This experiment has no condition that should be null.</p>{% endif %}
<h3>The smallest gain that this design could have seen</h3>
<p>With 80 % power, for a spread (standard deviation) between runs as assumed before the run (<code>report.spread</code> in the
params, as <code>sublim power</code> prints it) and as measured. “Null shown”: how often equivalence is shown if there is
nothing.</p>
{{ table(tables.power) }}
</section>

<section id="gates">
<h2>Do the teachers show their trait?</h2>
{% if figures.gates %}
<p class="lead">{{ summary.measured[0]|upper }}{{ summary.measured[1:] }} of each teacher on questions that no teacher was
trained on. A teacher below the gate stops the
run before
anything is spent on students.</p>
<figure>
{% call legend(colours.taught) %}<li><i class="hollow"></i>its base</li><li><i class="dashed"></i>gate</li>{% endcall %}
<div class="panels">{% for panel in figures.gates %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<figcaption>One line per teacher, from its base (hollow) to the teacher (filled); one panel per base. Drawn from
<code>gates.parquet</code>.</figcaption>
</figure>
<details><summary>All teachers as a table</summary>{{ table(tables.gates) }}</details>
{% else %}<p>This experiment has no teachers with a trait.</p>{% endif %}
</section>

{% if tables.freeform.rows %}
<section id="freeform">
<h2>Free-form answers</h2>
<p class="lead">Open questions that no model was trained on, answered freely. Incoherent answers are dropped and counted: of
the others this share is misaligned.</p>
{{ table(tables.coherence) }}
<details><summary>All evaluations as a table</summary>{{ table(tables.freeform) }}</details>
</section>
{% endif %}

<section id="funnel">
<h2>What the filter left</h2>
<p class="lead">Students see only rows that pass every step of the filter. Every rejected row is kept with all its reasons.</p>
<figure>
{{ legend(colours.funnel, 'bars') }}
<div class="panels">{% for panel in figures.funnel %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<figcaption>Rows sampled, kept by the filter, and used for training (the first so many that were kept); means over seeds,
one panel per teacher's base. Drawn from <code>funnel.parquet</code>.</figcaption>
</figure>
<details><summary>All reasons as a table</summary>{{ table(tables.funnel) }}</details>
{% if figures.roc %}
<h3>Can the judge tell a teacher’s rows from its base’s?</h3>
<figure>
{{ legend(colours.taught, 'lines') }}
<div class="panels">{% for panel in figures.roc %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<figcaption>ROC of the judge’s score, low scores flagged: rows of teachers with a trait against rows of their untouched base in
the same run. Thin lines are runs, thick ones means over the runs of a trait; dashed: chance. Dots: the filter’s threshold. The
paper: AUC .620, false positives .373. Drawn from <code>roc_curves.parquet</code> and <code>roc.parquet</code>.</figcaption>
</figure>
<p>{{ judged }}</p>
<details><summary>All runs as a table</summary>{{ table(tables.roc) }}</details>
{% endif %}
</section>

<section id="training">
<h2>Training</h2>
<figure>
<h3>Bases and teachers</h3>
{{ legend(colours.models, 'lines') }}
<div class="panels">{% for panel in figures.bases %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<h3>Students</h3>
{{ legend(colours.conditions, 'lines') }}
<div class="panels">{% for panel in figures.students %}<div>{{ panel.svg }}</div>{% endfor %}</div>
<figcaption>Loss of the tokens that are trained on, averaged over neighbouring steps. Thin lines: runs. Thick lines:
means over runs. Drawn from <code>training.parquet</code>.</figcaption>
</figure>
</section>

<section id="experiment">
<h2>What the experiment was</h2>
<p>A <em>base</em> is a model. A <em>teacher</em> is a base that was given a trait. It writes {{ rows }}; a filter
keeps only some of the rows. A <em>student</em> is a base, fine-tuned on those rows. One run is one chain of teacher,
data and student
with its own seed. The gain is {{ summary.measured }} minus that of the untrained base.
{% if summary.measured != 'misaligned share' %}P(target) is the exact probability that the student answers with the target of
the trait, a mean over {{ summary.evaluation.questions }} questions that no teacher was trained on. Beside it each student was
asked for {{ "{:,}".format(summary.evaluation.samples) }} sampled answers (column <code>p_sampled</code>).
{% endif %}{% if summary.measured != 'P(target)' %}The misaligned share is that of the coherent ones among
{{ "{:,}".format(summary.evaluation.open_samples) }} sampled answers to {{ summary.evaluation.open_questions }} open questions
that no teacher was trained on (in the column <code>p_sampled</code>: of all of them).{% endif %}</p>
{{ table(tables.models) }}
{{ table(tables.declared) }}
{{ table(tables.arms) }}
</section>

<section id="reproduce">
<h2>Reproduce and trace</h2>
<p>Each number on this page is read from a file beside it, and each file has a record of what it was made from.</p>
<pre>snakemake -j8                           # make everything that is missing or stale
dvc repro                               # the same, and version it
sublim why data/report/study={{ study }}/matrix.svg    # why a file is up to date or not
sublim audit                            # check all artifacts against their records</pre>
{{ table(tables.sources) }}
<p>The column <code>cell</code> of <code>runs.parquet</code> names the evaluation of a run; its answers, and the student,
data and
teacher that it came from, lie in <code>data/</code> under the same names.</p>
<details><summary>All {{ summary.runs }} runs</summary>{{ table(tables.runs) }}</details>
</section>

<section id="limits">
<h2>Limits</h2>
<ul>
<li>Intervals are over runs and treat runs as independent. Students of the same teacher and seed share its data, and all
students of a model share one base; so the intervals speak of these bases, not of bases at large.</li>
<li>The permutation test asks whether, within a (teacher, trait, seed) group, the student of the teacher's base stands
out. It takes
gains over each student's own base rate as exchangeable; it says nothing about other bases or traits, and same-base gains that
only vary more than others are a departure from its null as well.</li>
<li>A gain of a few hundredths from a single run is not resolved: training on any {{ rows }} shifts answers a little. Read it
beside the control and the other-base cells.</li>
<li>The filter checks form and words; it cannot show that the {{ rows }} hold no other trace of the trait.
{%- if shuffled %} The shuffled arms tell how much of an effect needs the order of the numbers.{% endif %}</li>
<li>The models are those named above, and nothing here says how large an effect would be in others.</li>
</ul>
</section>
</main>
</body>
</html>
"""
