/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/page.js - fills the page, connects its controls and starts.
 * Knows: buttons, keys, events. Does not know: trees, pixels.
 * Runs at the end of the body; calls report.js. */

/* ---- contents ---- */

function fillHeader(model) {
	const f = model.facts, parts = [];
	$('command').textContent = cut(f.command || 'unknown program', 1000);
	$('command').parentElement.title = cut(f.command || '', 2000);
	if (f.pid)
		parts.push(`pid ${f.pid}`);
	if (f.python)
		parts.push(`Python ${f.python}`);
	if (f.host)
		parts.push(cut(f.host, 60));
	if (f.start_ns)
		parts.push(timeText(Number(f.start_ns) / 1e6));
	if (f.duration_ns)
		parts.push(durationText(Number(f.duration_ns) / 1e9));
	if (f.allocations)
		parts.push(`${countText(f.allocations)} allocations`);
	if (f.releases)
		parts.push(`${countText(f.releases)} releases`);
	const line = $('facts');
	line.textContent = parts.join('  ·  ');
	if (f.dropped !== undefined) {
		line.append('  ·  ');
		line.append(make(Number(f.dropped) ? 'b' : 'span', '', `${countText(f.dropped)} dropped`));
	}
	line.title = line.textContent;
	for (const note of model.notes)
		$('notes').append(make('p', note.warning ? 'warning' : '', cut(note.text, 2000)));
	if (model.diff) {
		$('families').hidden = true;
		$('changes').hidden = false;
		$('open-sites').textContent = 'Changes';
		$('help-views').replaceChildren(...VIEWS.flatMap((view) => [make('dt', '', VIEW_TEXT[view][0]), make('dd', '', VIEW_TEXT[view][1])]));
	} else if (f.temporary_threshold)
		$('help-temporary').textContent =
			`released before more than ${f.temporary_threshold} further allocations of the same thread`;
}

function fillTimeline(model) {
	if (model.points < 2)
		return;
	const text = timelineText(model);
	$('timeline').hidden = false;
	$('timeline').setAttribute('aria-label', `Memory over time. ${text}`);
	$('timeline').title = text;
	$('chart-text').textContent = text;
	$('chart-legend').lastElementChild.hidden = !highest(model.rss);
	for (const id of ['from', 'to']) {
		$(id).max = (model.endNs / 1e9).toFixed(3);
		$(id).parentElement.hidden = !model.instants;
	}
	$('range-all').hidden = !model.instants;
}

function fillViews() {
	VIEWS.forEach((view, v) => {
		const button = make('button'), count = make('span', 'count');
		button.type = 'button';
		button.dataset.view = view;
		button.setAttribute('role', 'radio');
		button.setAttribute('aria-keyshortcuts', String(v + 1));
		count.append(make('span', 'number'), make('span', 'unit', ' allocations'));
		button.append(make('span', 'name', VIEW_TEXT[view][0]), make('span', 'about'), make('span', 'size'), count);
		$('views').append(button);
	});
}

/* One entry a thread, when the report keeps them apart. */
function fillThreads(model) {
	const select = $('thread');
	for (let i = 1; i < model.frames; i++) {
		if (!(model.flags[i] & FLAG_THREAD))
			continue;
		const option = make('option', '', cut(model.functionName(i), 60));
		option.value = String(i);
		select.append(option);
	}
	select.hidden = select.options.length < 3;
}

/* ---- controls ---- */

/* Arrow keys within a group of radio buttons, as everywhere. */
function radioKeys(event) {
	const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
	if (!step)
		return;
	event.preventDefault();
	event.stopPropagation();
	const buttons = [...event.currentTarget.querySelectorAll('[role="radio"]:enabled')];
	const at = buttons.indexOf(document.activeElement);
	const next = buttons[(at + step + buttons.length) % buttons.length];
	next.click();
	next.focus();
}

/* A function of the table leads to its frames. */
function wireSites(report) {
	for (const cell of document.querySelectorAll('#sites tbody td:first-child')) {
		const name = cell.textContent, button = make('button', 'link', name);
		if (cell.colSpan > 1)
			continue;
		button.type = 'button';
		button.addEventListener('click', () => {
			$('sites-dialog').close();
			$('search').value = name.replace(/…$/, '');
			report.search($('search').value);
			$('scroll').focus();
			report.focusAt = -1;
			report.nextMatch(1);
		});
		cell.replaceChildren(button);
	}
}

function wireControls(report) {
	document.body.addEventListener('click', (event) => {
		const button = event.target.closest('button');
		if (!button)
			return;
		const d = button.dataset, state = report.state;
		if (d.view)
			report.change({ view: VIEWS.indexOf(d.view) });
		else if (d.metric)
			report.change({ count: d.metric === 'count' });
		else if (d.shape)
			report.change({ flame: d.shape === 'flame' });
		else if (d.show)
			report.change({ show: { ...state.show, [d.show]: !state.show[d.show] } });
	});
	for (const group of document.querySelectorAll('[role="radiogroup"]'))
		group.addEventListener('keydown', radioKeys);
	$('invert').addEventListener('click', () => report.change({ inverted: !report.state.inverted }));
	$('reset').addEventListener('click', () => report.leave());
	$('sandwich').addEventListener('click', () => report.showFunction(report.state.sandwich ? 0 : report.frameMeant()));
	$('thread').addEventListener('change', () => report.change({ thread: Number($('thread').value) }));
	$('theme').addEventListener('click', () => report.setTheme(report.theme === 'dark' ? 'light' : 'dark', true));
	$('open-help').addEventListener('click', () => $('help').showModal());
	$('sites-dialog').append($('sites'));
	$('sites-dialog').querySelector('form').prepend($('sites-title'));
	$('stats-dialog').append($('stats'));
	$('stats-dialog').querySelector('form').prepend($('stats-title'));
	$('open-stats').hidden = !$('stats').querySelector('table');
	$('open-stats').addEventListener('click', () => $('stats-dialog').showModal());
	$('open-sites').addEventListener('click', () => $('sites-dialog').showModal());
	wireSites(report);
	let timer = 0;
	$('search').addEventListener('input', () => {
		clearTimeout(timer);
		timer = setTimeout(() => report.search($('search').value), 60);
	});
	$('search').addEventListener('keydown', (event) => {
		if (event.key !== 'Enter' && event.key !== 'Escape')
			return;
		clearTimeout(timer);
		event.preventDefault();
		event.stopPropagation();
		if (event.key === 'Escape')
			$('search').value = '';
		report.search($('search').value);
		$('scroll').focus();
		if (event.key === 'Enter') {
			report.focusAt = -1;
			report.nextMatch(1);
		}
	});
}

function wirePicture(report) {
	const scroll = $('scroll');
	scroll.addEventListener('scroll', () => {
		report.hideTip();
		report.paintSoon();
	}, { passive: true });
	scroll.addEventListener('pointerdown', () => {
		report.keyboard = false;
	});
	scroll.addEventListener('pointermove', (event) => {
		const i = report.at(event.clientX, event.clientY);
		if (i !== report.hover) {
			report.hover = i;
			report.paintSoon();
			scroll.classList.toggle('pointing', i >= 0);
		}
		if (i >= 0)
			report.showTip(i, event.clientX, event.clientY);
		else
			report.hideTip();
	});
	scroll.addEventListener('pointerleave', () => {
		report.hover = -1;
		report.hideTip();
		report.paintSoon();
	});
	scroll.addEventListener('click', (event) => {
		const i = report.at(event.clientX, event.clientY);
		if (i >= 0)
			report.zoomRectangle(i);
	});
	scroll.addEventListener('keydown', (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey)
			return;
		if (event.key.startsWith('Arrow') || event.key === 'Home') {
			report.keyboard = true;
			event.preventDefault();
			report.move(event.key);
		} else if ((event.key === 'Enter' || event.key === ' ') && report.focusAt >= 0) {
			event.preventDefault();
			report.zoomRectangle(report.focusAt);
		}
	});
}

function save(name, type, text) {
	const link = make('a');
	link.href = URL.createObjectURL(new Blob([text], { type }));
	link.download = name;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function toggleChart(report) {
	if ($('timeline').hidden)
		return;
	$('chart').hidden = !$('chart').hidden;
	$('timeline').setAttribute('aria-expanded', String(!$('chart').hidden));
	report.paintTime();
	report.layoutNow();
}

/* What the chart says about a time under the pointer. */
function hoverChart(report, ns) {
	const { model } = report, at = ns === null ? null : model.pointAt(ns);
	report.chartHover = ns;
	$('chart-now').textContent = at ? `${durationText(ns / 1e9)}: heap ${sizeText(at.heap)}` +
		(at.rss ? `, resident ${sizeText(at.rss)}` : '') : '';
	report.paintTime();
}

function wireChart(report) {
	const canvas = $('chart-canvas'), { model } = report;
	const ns = (event) => report.chart.ns(event.clientX - canvas.getBoundingClientRect().left);
	let start = null;
	canvas.classList.toggle('selectable', model.instants > 0);
	canvas.addEventListener('pointerdown', (event) => {
		if (event.button || !model.instants)
			return;
		start = event.clientX;
		canvas.setPointerCapture(event.pointerId);
	});
	canvas.addEventListener('pointermove', (event) => {
		if (start !== null && Math.abs(event.clientX - start) > 3) {
			const from = report.chart.ns(start - canvas.getBoundingClientRect().left);
			const shown = report.state.range;
			report.state.range = model.rangeOf(from, ns(event));
			hoverChart(report, ns(event));
			report.state.range = shown;
		} else {
			hoverChart(report, ns(event));
		}
	});
	canvas.addEventListener('pointerup', (event) => {
		if (start === null)
			return;
		const from = report.chart.ns(start - canvas.getBoundingClientRect().left), moved = Math.abs(event.clientX - start) > 3;
		start = null;
		if (moved)
			report.setRange(from, ns(event));
	});
	canvas.addEventListener('pointercancel', () => {
		start = null;
		report.paintTime();
	});
	canvas.addEventListener('pointerleave', () => hoverChart(report, null));
	for (const id of ['from', 'to'])
		$(id).addEventListener('change', () => {
			const value = (name, otherwise) => {
				const seconds = parseFloat($(name).value);
				return Number.isFinite(seconds) ? seconds * 1e9 : otherwise;
			};
			report.setRange(value('from', 0), value('to', model.endNs));
		});
	$('range-all').addEventListener('click', () => report.setRange(0, model.endNs));
	$('chart-csv').addEventListener('click', () => save('memtrace-memory.csv', 'text/csv', timelineCsv(model)));
	$('timeline').addEventListener('click', () => toggleChart(report));
	$('chart-close').addEventListener('click', () => {
		toggleChart(report);
		$('timeline').focus();
	});
}

function wireKeys(report) {
	const keys = {
		'/': () => {
			$('search').focus();
			$('search').select();
		},
		'?': () => $('help').showModal(),
		'Escape': () => report.leave(),
		's': () => report.showFunction(report.frameMeant()),
		'n': () => report.nextMatch(1),
		'N': () => report.nextMatch(-1),
		'm': () => report.change({ count: !report.state.count }),
		'f': () => report.change({ flame: !report.state.flame }),
		'i': () => $('invert').click(),
		't': () => $('theme').click(),
		'c': () => report.copyStack(),
		'g': () => toggleChart(report),
	};
	VIEWS.forEach((view, v) => {
		keys[v + 1] = () => {
			if (!report.state.range || v < 2)
				report.change({ view: v });
		};
	});
	document.addEventListener('keydown', (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test(event.target.tagName) ||
		    document.querySelector('dialog[open]') || !Object.hasOwn(keys, event.key))
			return;
		event.preventDefault();
		keys[event.key]();
	});
}

function wireWindow(report) {
	const scroll = $('scroll');
	let seen = `${scroll.clientWidth} ${scroll.clientHeight}`;
	new ResizeObserver(() => {
		const size = `${scroll.clientWidth} ${scroll.clientHeight}`;
		if (size === seen)
			return;
		seen = size;
		report.paintTime();
		report.layoutNow();
	}).observe(scroll);
	/* The window moved to a screen of another density. */
	const watch = () => matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`).addEventListener('change', () => {
		report.paintTime();
		report.layoutNow();
		watch();
	}, { once: true });
	watch();
	/* Paper is white, and as wide as it is. */
	let theme = null;
	window.addEventListener('beforeprint', () => {
		theme ??= report.theme;
		report.setTheme('light', false);
	});
	window.addEventListener('afterprint', () => {
		report.setTheme(theme || report.theme, false);
		theme = null;
	});
	window.addEventListener('popstate', () => {
		report.readAddress();
		report.refresh();
	});
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
		if (!savedTheme())
			report.setTheme(event.matches ? 'dark' : 'light', false);
	});
}

function savedTheme() {
	try {
		const name = localStorage.getItem('memtrace-theme');
		return name === 'dark' || name === 'light' ? name : null;
	} catch {
		return null;
	}
}

/* ---- start ---- */

let report;

async function start() {
	const begun = performance.now();
	const model = new Model(await inflate($('data').textContent));
	$('data').remove();
	report = new Report(model);
	fillHeader(model);
	fillTimeline(model);
	fillViews();
	fillThreads(model);
	$('app').hidden = false;
	wireControls(report);
	wirePicture(report);
	wireChart(report);
	wireKeys(report);
	report.setTheme(savedTheme() || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'), false);
	report.readAddress();
	if (report.state.range)
		toggleChart(report);
	report.refresh();
	wireWindow(report);
	document.documentElement.dataset.ready = String(Math.round(performance.now() - begun));
}

start().catch((error) => {
	const note = make('p', 'warning', `The flame graph cannot be shown: ${error.message}. The table below is complete.`);
	$('sites').prepend(note);
	$('app').hidden = true;
	$('sites').classList.add("shown");
	document.body.append($('sites'));
	document.documentElement.dataset.failed = error.message;
	console.error(error);
});
