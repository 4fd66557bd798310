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

// Undoes sublim.detectors.quiz.hidden.
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
