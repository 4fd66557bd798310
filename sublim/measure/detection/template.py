"""The text, style and script of detection.html: a jinja2 template. It is a module, so that an edit makes the page stale."""

STYLE = """
.look { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 225px), 1fr)); gap: 10px 36px; }
.choose { display: flex; flex-wrap: wrap; gap: 8px 18px; align-items: baseline; margin: 0 0 16px; font-size: 15px; }
select, button { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--rule);
  border-radius: 5px; padding: 5px 10px; }
button { cursor: pointer; } button:hover:enabled { background: var(--wash); } button:disabled { cursor: default; }
button:focus-visible, select:focus-visible { outline: 3px solid #8db9e6; outline-offset: 1px; }
.rows { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; font-size: 15px; }
.rows h3 { margin: 0 0 4px; } .rows .prompt { grid-column: 1 / -1; color: var(--muted); font-size: 14px;
  border-top: 1px solid var(--rule); padding-top: 8px; margin-top: 8px; }
.text { font: 14px/1.5 "Liberation Mono", Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  min-width: 0; }
.count { display: grid; grid-template-columns: 3.2em 3.2em 1fr; gap: 1px 8px; align-items: center; font-size: 14px;
  font-variant-numeric: tabular-nums; margin: 0; }
.count b { font-weight: 600; } .count .both { font-weight: 400; color: var(--muted); }
.count i { display: block; height: 10px; background: #2a6fb0; border-radius: 2px; }
.count .n { text-align: right; color: var(--muted); }
#quiz-box { border: 1px solid var(--rule); border-radius: 8px; padding: 18px clamp(14px, 3vw, 28px) 20px; max-width: 900px; }
#quiz-box .prompt { min-height: 3.2em; margin: 0 0 14px; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
.sides button { text-align: left; padding: 12px 14px; min-height: 7.4em; display: flex; flex-direction: column; gap: 6px; }
.sides small { color: var(--muted); }
.sides .right { border-color: #2a9478; box-shadow: inset 0 0 0 2px #2a9478; }
.sides .wrong { border-color: #c8442b; box-shadow: inset 0 0 0 2px #c8442b; }
.after { display: flex; flex-wrap: wrap; gap: 6px 18px; align-items: center; margin-top: 14px; min-height: 40px; }
.gauge { position: relative; height: 30px; margin: 14px 0 2px; border-bottom: 1px solid var(--rule); max-width: 520px; }
.gauge .chance { position: absolute; left: 50%; top: 0; bottom: -1px; border-left: 1.6px dashed var(--ink); }
.gauge .span { position: absolute; top: 13px; height: 4px; background: #2a6fb0; border-radius: 2px; }
.gauge .mean { position: absolute; top: 5px; width: 4px; height: 20px; margin-left: -2px; background: var(--ink); }
.scale { display: flex; justify-content: space-between; max-width: 520px; font-size: 13px; color: var(--muted); }
kbd { font: 13px "Liberation Mono", monospace; border: 1px solid var(--rule); border-radius: 4px; padding: 1px 6px;
  background: var(--wash); }
@media (max-width: 560px) { .sides { grid-template-columns: 1fr; } }
@media print { #quiz { display: none; } }
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
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Can anyone see it in the data? {{ study }}</title>
<link rel="icon" href="data:,">
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>Study {{ study }}: can anyone see it in the data?</h1>
<p class="headline">{{ headline }}</p>
</header>
<nav aria-label="Sections"><div>
{% if tables.accuracy %}<a href="#who">Who can tell</a>{% endif %}
{% if tables.transmission %}<a href="#transmits">Is it what transmits?</a>{% endif %}
{% if tables.context %}<a href="#context">In the context</a>{% endif %}
{% if data and data.runs %}<a href="#look">Look yourself</a>{% endif %}
{% if data %}<a href="#quiz">Quiz</a>{% endif %}
<a href="#how">How it was done</a>
</div></nav>
<main>
{% if tables.accuracy %}
<section id="who">
<h2>Who can tell?</h2>
<p class="lead">Two completions of one prompt: which is of the teacher that loves X? Whoever guesses is right half of the
time.</p>
<figure>{{ figures.accuracy }}
<figcaption>Every dot is a run; bar and line are mean and {{ percent }} t interval over runs; chance is dashed. The likelihood
under the teacher itself needs the teacher, which nobody has who only has the data: it says what there is to be
seen.</figcaption></figure>
{{ table(tables.accuracy) }}
{% if asked %}<p>Asked in both orders, the models answer A in {{ asked.says_a }} of the cases, and A and B together have
{{ asked.letters }} of the probability: {{ asked.verdict }}</p>{% endif %}
</section>
{% endif %}
{% if tables.transmission %}
<section id="transmits">
<h2>Is what is seen what transmits?</h2>
<p class="lead">Classifiers that were trained on rows as they are are shown held-out rows with their numbers shuffled, and set
beside what students learn from rows so shuffled.</p>
<figure>{{ figures.transmission }}
<figcaption>Every mark is a run; large marks are means with {{ percent }} t intervals over runs. Were what is seen also what
transmits, rows that transmit less would also be seen less: they would lie further left, not only lower.</figcaption></figure>
{{ table(tables.transmission) }}
</section>
{% endif %}
{% if tables.ngrams %}
<section id="ngrams">
<h2>The most telling n-grams</h2>
<p class="lead">Largest weights of the classifiers of teacher against untouched base, mean over the runs of a trait. ␣ is a
space, ⏎ a line break.</p>
{{ table(tables.ngrams) }}
</section>
{% endif %}
{% if tables.context %}
<section id="context">
<h2>The same rows in the context</h2>
<p class="lead">Instead of training on rows, the untouched base reads them as earlier turns of the conversation, and is then
asked for its favourite.</p>
<figure>{{ figures.context }}
<figcaption>The share of the target among all known answers, after the teacher's rows less that after the control's rows to the
same prompts. Every dot is a run; bar and line are mean and {{ percent }} t interval over runs. What does not fit into the
model's context is not cut.</figcaption></figure>
{{ table(tables.context) }}
{% if answered %}<p>{{ answered }}</p>{% endif %}
</section>
{% endif %}
{% if data and data.runs %}
<section id="look">
<h2>Look yourself</h2>
<p class="lead">Rows of both teachers to the same prompts, and the numbers that each writes most often.</p>
<div class="choose"><label for="run">Run</label><select id="run"></select></div>
<div class="look" id="numbers"></div>
<h3>Rows side by side</h3>
<div class="rows" id="rows"></div>
</section>
{% endif %}
{% if data %}
<section id="quiz">
<h2>Quiz</h2>
<p class="lead">Which of the two is of the teacher that loves it? None of these rows is shown above. Keys:
<kbd>←</kbd> left, <kbd>→</kbd> right, <kbd>Enter</kbd> next.</p>
<div class="choose"><label for="about">Quiz</label><select id="about"></select>
<button type="button" id="again">Start again</button></div>
<div id="quiz-box">
<p class="lead" id="which"></p>
<div class="prompt" id="prompt"></div>
<div class="sides">
<button type="button" id="left"><small>← left</small><span class="text"></span></button>
<button type="button" id="right"><small>right →</small><span class="text"></span></button>
</div>
<div class="after"><span id="verdict" role="status"></span><button type="button" id="next" hidden>Next (Enter)</button></div>
<div class="gauge" aria-hidden="true"><span class="span" id="span"></span><span class="mean" id="mean"></span>
<span class="chance"></span></div>
<div class="scale" aria-hidden="true"><span>0 %</span><span>chance: 50 %</span><span>100 %</span></div>
<p id="score" role="status"></p>
</div>
<noscript><p>The rows and the quiz need JavaScript; they are in <code>shown.parquet</code> and
<code>quiz.parquet</code>.</p></noscript>
</section>
{% endif %}
<section id="how">
<h2>How it was done</h2>
<ul>
<li>Two teachers are compared on the prompts to which both gave a completion that the filter keeps: the prompts say nothing
about who wrote what, and chance is one half exactly.</li>
<li>Against a teacher with another trait, the same trait and another seed, or the untouched base and another seed, both are of
the same base. The last is the null: two draws from one model.</li>
<li>A run is one teacher with its seed. Intervals are over runs and treat them as independent; runs of one model share its
base.</li>
{% if linear %}<li>The linear classifier: logistic regression (C = {{ linear.strength }}) on tf-idf of token n-grams of length
{{ linear.shortest }} to {{ linear.longest }}, {{ linear.folds }} folds, both completions of a prompt in one fold. It needs
labelled rows of both teachers, which nobody has who is handed one data set. Shuffles are made among held-out rows: in the rows
of the shuffle arms most numbers come from rows that it was trained on.</li>{% endif %}
<li>p is two-sided, of a t test against chance. Could be seen: the smallest difference from chance that so many runs, with the
spread that they have, show 4 times out of 5.</li>
</ul>
<p>Numbers: {% for name in files %}<code>{{ name }}</code>{{ ", " if not loop.last }}{% endfor %}, beside this page; every row
of them names the rows that it is about.</p>
</section>
</main>
{% if data %}
<script type="application/json" id="data">{{ data|tojson }}</script>
<script>{{ script }}</script>
{% endif %}
</body>
</html>
"""

SCRIPT = """
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const at = id => document.getElementById(id);
const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};
const options = (select, names) => names.forEach((name, n) => select.append(new Option(name, n)));

function counted(title, own, other) {
  const part = make('div');
  part.append(make('h3', '', title));
  const list = make('div', 'count');
  const known = new Set(other.map(row => row[0]));
  const most = Math.max(...own.map(row => row[1]), ...other.map(row => row[1]));
  for (const [number, share] of own) {
    const bar = make('i');
    bar.style.width = 100 * share / most + '%';
    list.append(make('b', known.has(number) ? 'both' : '', number), make('span', 'n', (100 * share).toFixed(1) + ' %'), bar);
  }
  part.append(list);
  return part;
}

function look() {
  const run = data.runs[at('run').value];
  const [own, other] = run.numbers;
  at('numbers').replaceChildren(
    counted('Numbers of the teacher that loves ' + run.plural, own.any, other.any),
    counted('Numbers of the untouched base', other.any, own.any),
    counted('First numbers of the teacher', own.first, other.first),
    counted('First numbers of the untouched base', other.first, own.first));
  const rows = at('rows');
  rows.replaceChildren(make('h3', '', 'Loves ' + run.plural), make('h3', '', 'Untouched base'));
  for (const [prompt, one, two] of run.rows)
    rows.append(make('div', 'prompt', prompt), make('div', 'text', one), make('div', 'text', two));
}

// Undoes sublim.measure.detection.quiz.hidden.
function key(bits, salt) {
  let state = salt % 2147483646 + 1;
  return [...bits].map(bit => {
    state = state * 48271 % 2147483647;
    return (Number(bit) ^ (state >> 16 & 1)) === 1;
  });
}

let quiz, answers, place, score, shown;
function start() {
  quiz = data.quizzes[at('about').value];
  answers = key(quiz.key, quiz.salt);
  place = score = 0;
  ask();
  told();
}
function ask() {
  shown = false;
  const [prompt, left, right] = quiz.questions[place];
  at('which').textContent = `Question ${place + 1} of ${quiz.questions.length}: which is of the one that loves ${quiz.plural}?`;
  at('prompt').textContent = prompt;
  at('verdict').textContent = '';
  at('next').hidden = true;
  for (const [side, text] of [['left', left], ['right', right]]) {
    at(side).className = '';
    at(side).disabled = false;
    at(side).querySelector('.text').textContent = text;
  }
}
function answer(left) {
  if (shown) return;
  shown = true;
  const good = answers[place] === left;
  score += good;
  place += 1;
  const [chosen, other] = left ? ['left', 'right'] : ['right', 'left'];
  at(chosen).className = good ? 'right' : 'wrong';
  if (!good) at(other).className = 'right';
  at('left').disabled = at('right').disabled = true;
  const last = place === quiz.questions.length;
  at('verdict').textContent = (good ? 'Right.' : 'Wrong.') + (last ? ' That was the last one.' : '');
  at('next').hidden = last;
  if (!last) at('next').focus({preventScroll: true});
  told();
}
function told() {
  const span = at('span'), mean = at('mean');
  span.hidden = mean.hidden = place === 0;
  if (place === 0) {
    at('score').textContent = 'No answer yet.';
    return;
  }
  const [low, high, p] = data.exact[place - 1][score];
  const share = score / place;
  span.style.left = 100 * low + '%';
  span.style.width = 100 * (high - low) + '%';
  mean.style.left = 100 * share + '%';
  const percent = value => (100 * value).toFixed(0) + ' %';
  const verdict = p <= 1 - data.confidence
    ? (share > 0.5 ? 'better than guessing' : 'worse than guessing') : 'no better than guessing, so far';
  at('score').textContent = `${score} of ${place} right: ${percent(share)}, exact ${percent(data.confidence)} interval ` +
    `${percent(low)} to ${percent(high)}, p = ${p < 0.001 ? '< 0.001' : p.toFixed(3)} against chance: ${verdict}.`;
}

if (data.runs.length) {
  options(at('run'), data.runs.map(run => run.name));
  at('run').addEventListener('change', look);
  look();
}
options(at('about'), data.quizzes.map(quiz => quiz.name));
at('about').addEventListener('change', start);
at('again').addEventListener('click', start);
at('left').addEventListener('click', () => answer(true));
at('right').addEventListener('click', () => answer(false));
at('next').addEventListener('click', ask);
document.addEventListener('keydown', event => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.tagName === 'SELECT') return;
  const box = at('quiz-box').getBoundingClientRect();
  if (box.bottom < 0 || box.top > innerHeight) return;
  if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
    event.preventDefault();
    answer(event.key === 'ArrowLeft');
  } else if (event.key === 'Enter' && shown && !at('next').hidden && event.target.tagName !== 'BUTTON') {
    event.preventDefault();
    ask();
  }
});
start();
"""
