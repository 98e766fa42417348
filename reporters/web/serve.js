/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/serve.js - the list of captures, reports in a frame, recordings as they go.
 * Knows: the addresses of `memtrace serve`. Does not know: what is in a report. */
'use strict';

const $ = (id) => document.getElementById(id);

/* Names and commands come from captures: only ever as text. */
function make(tag, properties = {}, ...children) {
	const e = Object.assign(document.createElement(tag), properties);
	e.append(...children);
	return e;
}

/* ---- numbers ---- */

function sizeText(bytes) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
	let i = 0;
	for (; bytes >= 1023.5 && i < units.length - 1; i++)
		bytes /= 1024;
	return `${i && bytes < 99.95 ? bytes.toFixed(bytes < 9.995 ? 2 : 1) : Math.round(bytes)} ${units[i]}`;
}

const countText = (n) => n.toLocaleString('en');

function durationText(seconds) {
	if (seconds < 60)
		return `${seconds.toFixed(1)} s`;
	const s = Math.round(seconds), minutes = Math.floor(s / 60) % 60, pad = (n) => String(n).padStart(2, '0');
	return s < 3600 ? `${minutes}m ${pad(s % 60)}s` : `${Math.floor(s / 3600)}h ${pad(minutes)}m`;
}

function timeText(ms) {
	const d = new Date(ms), pad = (n) => String(n).padStart(2, '0');
	return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}`;
}

/* ---- the server ---- */

class Refused extends Error {}

async function ask(path, body) {
	const options = body === undefined ? {} : {
		method: 'POST', body: JSON.stringify(body),
		headers: { 'Content-Type': 'application/json', 'X-Memtrace': '1' },
	};
	const response = await fetch(path, options);
	if (!response.ok)
		throw new Refused((await response.text()).trim() || `the server answered ${response.status}`);
	return response.json();
}

function complain(error, where = $('problem')) {
	where.textContent = error instanceof Refused ? error.message : `The server does not answer (${error.message}).`;
	where.hidden = false;
}

const address = (...parts) => '/' + parts.map(encodeURIComponent).join('/');

/* ---- the list ---- */

const REPORTS = [['Flame graph', 'flamegraphs'], ['Table', 'tables'], ['Leaks', 'leaks'], ['Statistics', 'stats']];
const figures = new Map();	/* by name, size and time */
const chosen = [];		/* at most two names */
let about, captures = [];

const identity = (c) => `${c.name}\n${c.size}\n${c.time}`;

function exportsOf(capture) {
	const select = make('select', { ariaLabel: `Save ${capture.name} as` }, make('option', { value: '', textContent: 'Save as …' }));
	select.append(make('option', { value: address('captures', capture.name), textContent: 'capture' }));
	for (const format of about.formats)
		select.append(make('option', { value: address('exports', format, capture.name), textContent: format }));
	select.addEventListener('change', () => {
		const to = select.value;
		select.value = '';
		if (to)
			save(to);
	});
	return select;
}

/* Asked for first, so that a failure is text on this page and not a page of its own. */
async function save(to) {
	try {
		const response = await fetch(to, { method: 'HEAD' });
		if (!response.ok)
			await ask(to);
		location.assign(to);
	} catch (error) {
		complain(error);
	}
}

function linksOf(capture) {
	const links = make('div', { className: 'reports' });
	for (const [name, folder] of REPORTS)
		links.append(make('a', { href: `#${folder}${address(capture.name)}`, textContent: name }));
	links.append(exportsOf(capture));
	return links;
}

function choose(name, on) {
	const at = chosen.indexOf(name);
	if (at >= 0)
		chosen.splice(at, 1);
	if (on)
		chosen.push(name);
	if (chosen.length > 2)
		chosen.shift();
	for (const box of document.querySelectorAll('#captures input'))
		box.checked = chosen.includes(box.value);
	$('compare').disabled = chosen.length !== 2;
	$('chosen').textContent = chosen.length === 2 ? `${chosen[1]} compared with ${chosen[0]}` :
		chosen.length ? 'Choose another one to compare with' : '';
}

function fill(row, f) {
	const cells = row.cells;
	if (f instanceof Error) {
		cells[2].textContent = f.message;
		return;
	}
	cells[2].textContent = f.info.command_line || '';
	cells[3].textContent = f.info.start_time ? timeText(Date.parse(f.info.start_time.replace(' ', 'T'))) : '';
	cells[4].textContent = durationText(f.info.duration_ns / 1e9);
	cells[5].textContent = sizeText(f.stats.metadata.peak_memory);
	cells[6].textContent = countText(f.stats.total_num_allocations);
	if (f.info.damage)
		cells[2].append(make('span', { className: 'damage', textContent: ` (damaged: ${f.info.damage})` }));
}

function rowOf(capture) {
	const box = make('input', { type: 'checkbox', value: capture.name, checked: chosen.includes(capture.name), ariaLabel: `Compare ${capture.name}` });
	box.addEventListener('change', () => choose(capture.name, box.checked));
	const row = make('tr', {}, make('td', {}, box), make('th', { scope: 'row' }, make('bdi', { textContent: capture.name })),
		make('td', { className: 'command', textContent: capture.recording ? 'being recorded' : '…' }),
		make('td', { textContent: timeText(capture.time) }));
	for (let i = 0; i < 3; i++)
		row.append(make('td', { className: 'number' }));
	row.append(make('td', { className: 'number', textContent: sizeText(capture.size) }), make('td', {}, linksOf(capture)));
	row.capture = capture;
	const known = figures.get(identity(capture));
	if (known)
		fill(row, known);
	return row;
}

function filter() {
	const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
	for (const row of $('captures').tBodies[0].rows) {
		const text = `${row.capture.name} ${row.cells[2].textContent}`.toLowerCase();
		row.hidden = !words.every((w) => text.includes(w));
	}
}

/* One after the other: the server makes two reports at a time, and one is for who clicks. */
let filling = false;
async function fillFigures() {
	if (filling)
		return;
	filling = true;
	for (let row; (row = [...$('captures').tBodies[0].rows].find((r) => !r.capture.recording && !figures.has(identity(r.capture))));) {
		const { capture } = row, end = encodeURIComponent(capture.name) + '.json';
		let f;
		try {
			f = { info: await ask(`/info/${end}`), stats: await ask(`/stats/${end}`) };
		} catch (error) {
			f = error;
		}
		figures.set(identity(capture), f);
		for (const r of $('captures').tBodies[0].rows)
			if (identity(r.capture) === identity(capture))
				fill(r, f);
		filter();
	}
	filling = false;
	$('captures').dataset.filled = 'yes';
}

async function showList() {
	try {
		const list = await ask('/api/captures');
		captures = list.captures;
		$('captures').tBodies[0].replaceChildren(...captures.map(rowOf));
		$('captures').hidden = !captures.length;
		$('none').hidden = captures.length > 0;
		if (list.more)
			complain(new Refused(`Only the newest ${captures.length} captures are shown.`));
		for (const name of [...chosen])
			if (!captures.some((c) => c.name === name))
				choose(name, false);
		filter();
		fillFigures();
	} catch (error) {
		complain(error);
	}
}

/* ---- recordings ---- */

const STATES = { starting: 'starting', recording: 'recording', stopping: 'stopping', naming: 'looking up names', done: 'done', failed: 'failed' };

function drawRecording(r) {
	const id = `recording-${r.id}`;
	let box = $(id);
	if (!box) {
		box = make('div', { id, className: 'recording' }, make('span', { className: 'what' }), make('button', { type: 'button', textContent: 'Stop' }),
			make('span', { className: 'how' }), make('progress', { ariaLabel: 'Time' }), make('p', { className: 'said' }));
		box.querySelector('button').addEventListener('click', async () => {
			if (box.dataset.over) {
				box.remove();
				return;
			}
			try {
				await ask(`/api/recordings/${r.id}/stop`, {});
			} catch (error) {
				complain(error);
			}
		});
		$('recordings').prepend(box);
	}
	const over = r.state === 'done' || r.state === 'failed', bar = box.querySelector('progress'), button = box.querySelector('button');
	box.classList.toggle('failed', r.state === 'failed');
	box.dataset.state = r.state;
	box.querySelector('.what').textContent = `${r.name} (${r.pid})`;
	box.querySelector('.how').textContent = r.state === 'starting' ? 'starting' :
		`${STATES[r.state]}, ${durationText(r.elapsed)} of ${durationText(r.seconds)}, file ${sizeText(r.bytes)}${over || !r.rss ? '' : `, process ${sizeText(r.rss)}`}`;
	box.querySelector('.said').textContent = over ? r.text.split('\n').filter((line) => !line.startsWith('next:') && !line.includes('Ctrl-C')).join('\n') : '';
	bar.max = r.seconds;
	if (r.state === 'starting' || r.state === 'naming')
		bar.removeAttribute('value');
	else
		bar.value = over ? r.seconds : r.elapsed;
	bar.hidden = over;
	button.textContent = over ? 'Close' : 'Stop';
	button.disabled = r.state === 'stopping' || r.state === 'naming';
	if (over)
		box.dataset.over = 'yes';
	return over;
}

function watch(r) {
	if (drawRecording(r))
		return;
	const events = new EventSource(`/api/recordings/${r.id}/events`);
	events.addEventListener('message', (event) => {
		if (!drawRecording(JSON.parse(event.data)))
			return;
		events.close();
		showList();
	});
}

/* ---- starting one ---- */

let processes = [];

function drawProcesses() {
	const words = $('processes-filter').value.toLowerCase().split(/\s+/).filter(Boolean);
	const picked = document.querySelector('#processes input:checked')?.value;
	$('processes').replaceChildren(...processes.filter((p) => {
		const text = `${p.pid} ${p.name} ${p.command}`.toLowerCase();
		return words.every((w) => text.includes(w));
	}).slice(0, 300).map((p) => make('label', { title: p.command },
		make('input', { type: 'radio', name: 'pid', value: p.pid, checked: String(p.pid) === picked, required: true }),
		make('span', { className: 'number', textContent: p.pid }), make('span', { className: 'command' }, make('bdi', { textContent: p.command })),
		make('span', { className: 'number', textContent: sizeText(p.rss) }))));
	document.querySelector('#start-form [type=submit]').disabled = !document.querySelector('#processes input:checked');
}

async function openStart() {
	$('start-problem').hidden = true;
	$('seconds').max = about.max_seconds;
	$('start').showModal();
	try {
		processes = (await ask('/api/processes')).sort((a, b) => b.rss - a.rss);
		drawProcesses();
	} catch (error) {
		complain(error, $('start-problem'));
	}
}

async function startRecording(event) {
	event.preventDefault();
	const wish = {
		pid: Number(document.querySelector('#processes input:checked').value), seconds: Number($('seconds').value),
		sample: Number($('sample').value), no_native: $('no-native').checked, trace_python_allocators: $('allocators').checked,
		aggregate: $('aggregate').checked,
	};
	try {
		const r = await ask('/api/recordings', wish);
		$('start').close();
		watch(r);
	} catch (error) {
		complain(error, $('start-problem'));
	}
}

/* ---- one capture ---- */

function drawTabs(folder, names) {
	const all = folder === 'diffs' ? [['Difference', 'diffs']] : REPORTS;
	$('tabs').replaceChildren(make('a', { href: '#', textContent: '← Captures' }), ...all.map(([text, to]) => {
		const a = make('a', { href: `#${to}${address(...names)}`, textContent: text });
		if (to === folder)
			a.setAttribute('aria-current', 'page');
		return a;
	}));
}

/* Into the frame only when it is made: a failure is text on this page. */
async function showReport(folder, names) {
	const path = address(folder, ...names) + '.html', frame = $('frame');
	frame.hidden = true;
	$('making').hidden = false;
	try {
		const response = await fetch(path, { method: 'HEAD' });
		if (!response.ok)
			await ask(path);
		if (location.hash !== `#${folder}${address(...names)}`)
			return;
		frame.title = `${folder} of ${names.join(' and ')}`;
		/* A new one each time: going back is between this page's own addresses. */
		const fresh = frame.cloneNode();
		fresh.src = path;
		fresh.hidden = false;
		frame.replaceWith(fresh);
	} catch (error) {
		complain(error);
	}
	$('making').hidden = true;
}

function table(caption, heads, rows) {
	const t = make('table', {}, make('caption', { textContent: caption }));
	/* A column without a name has no header: an empty one is read out as one. */
	const head = (text, i) => text ? make('th', { scope: 'col', textContent: text, className: i ? 'number' : '' }) : make('td');
	if (heads.some(Boolean))
		t.createTHead().append(make('tr', {}, ...heads.map(head)));
	t.createTBody().append(...rows.map((cells) => make('tr', {}, ...cells.map((c, i) => make('td', { className: i ? 'number' : '' }, c)))));
	return t;
}

async function showStats(name) {
	try {
		const s = await ask(address('stats', name) + '.json'), m = s.metadata;
		const most = Math.max(1, ...s.allocation_size_histogram.map((b) => b.count));
		const meter = (value, max) => make('meter', { max, value, ariaLabel: `${value} of ${max}` });
		$('stats').replaceChildren(
			table('Totals', ['', ''], [
				['Command', m.command_line || ''], ['Process', String(m.pid ?? '')], ['Peak', sizeText(m.peak_memory)],
				['Allocations', countText(s.total_num_allocations)], ['Bytes allocated', sizeText(s.total_bytes_allocated)]]),
			table('Sizes', ['From', 'To', 'Allocations', ''], s.allocation_size_histogram.map((b) =>
				[sizeText(b.min_bytes), sizeText(b.max_bytes), countText(b.count), meter(b.count, most)])),
			table('Allocation functions', ['Function', 'Calls'], Object.entries(s.allocator_type_distribution).map(([k, v]) => [k.toLowerCase(), countText(v)])),
			table('By size', ['Location', 'Bytes'], s.top_allocations_by_size.map((t) => [t.location, sizeText(t.size)])),
			table('By count', ['Location', 'Allocations'], s.top_allocations_by_count.map((t) => [t.location, countText(t.count)])));
		document.documentElement.dataset.stats = 'ready';
	} catch (error) {
		complain(error);
	}
}

/* ---- where we are ---- */

/* "#flamegraphs/a.bin", "#diffs/a.bin/b.bin"; "/stats/a.bin.html" by itself. */
function place() {
	const direct = location.pathname.match(/^\/stats\/(.+)\.html$/);
	if (direct && location.hash.length < 2)
		return ['stats', [decodeURIComponent(direct[1])]];
	const [folder, ...names] = location.hash.slice(1).split('/').map(decodeURIComponent);
	const wanted = folder === 'diffs' ? 2 : 1;
	return ['flamegraphs', 'tables', 'leaks', 'stats', 'diffs'].includes(folder) && names.length === wanted && names.every(Boolean) ? [folder, names] : ['', []];
}

function go() {
	const [folder, names] = place();
	$('problem').hidden = true;
	$('list').hidden = folder !== '';
	$('viewer').hidden = !folder || folder === 'stats';
	$('stats').hidden = folder !== 'stats';
	$('folder').textContent = folder ? names.join(' → ') : about.folder;
	document.title = folder ? `${names.join(' → ')} - memtrace` : 'memtrace';
	if (!folder) {
		$('frame').removeAttribute('src');
		showList();
		return;
	}
	drawTabs(folder, names);
	if (folder === 'stats') {
		$('stats').replaceChildren();
		$('stats').before($('tabs'));
		showStats(names[0]);
	} else {
		$('viewer').prepend($('tabs'));
		showReport(folder, names);
	}
}

async function start() {
	try {
		about = await ask('/api/about');
		$('new').hidden = about.read_only;
		if (!about.read_only)
			(await ask('/api/recordings')).filter((r) => r.state !== 'done' && r.state !== 'failed').forEach(watch);
		go();
	} catch (error) {
		complain(error);
	}
	window.addEventListener('hashchange', go);
	$('filter').addEventListener('input', filter);
	$('compare').addEventListener('click', () => {
		location.hash = 'diffs' + address(...chosen);
	});
	$('new').addEventListener('click', openStart);
	$('start-close').addEventListener('click', () => $('start').close());
	$('start-form').addEventListener('submit', startRecording);
	$('processes-filter').addEventListener('input', drawProcesses);
	$('processes').addEventListener('change', () => {
		document.querySelector('#start-form [type=submit]').disabled = false;
	});
	document.documentElement.dataset.ready = 'yes';
}

start();
