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
	if (f.temporary_threshold)
		$('help-temporary').textContent =
			`released before more than ${f.temporary_threshold} further allocations of the same thread`;
}

function fillTimeline(model) {
	if (model.points < 2)
		return;
	const last = model.points - 1;
	$('timeline').hidden = false;
	$('timeline-text').textContent = 'heap over time';
	const text = `Live bytes over ${durationText((model.time[last] - model.time[0]) / 1e9)}: ` +
		`${sizeText(model.heap[0])} at first, ${sizeText(model.views[0].totalBytes)} at the peak, ` +
		`${sizeText(model.heap[last])} at the end` +
		(model.rss[last] > 0 ? `. Resident in all: ${sizeText(model.rss[last])} at the end` : '');
	$('timeline').setAttribute('role', 'img');
	$('timeline').setAttribute('aria-label', text);
	$('timeline').title = text;
}

function fillViews(model) {
	VIEWS.forEach((view, v) => {
		const button = make('button'), totals = model.views[v], [name, about] = VIEW_TEXT[view];
		button.type = 'button';
		button.dataset.view = view;
		button.setAttribute('role', 'radio');
		button.setAttribute('aria-keyshortcuts', String(v + 1));
		let when = about;
		if (view === 'peak' && model.facts.peak_ns)
			when = `live at ${durationText(Number(model.facts.peak_ns) / 1e9)}`;
		button.append(make('span', 'name', name), make('span', 'about', when), make('span', 'size', sizeText(totals.totalBytes)),
			make('span', 'count', countText(totals.totalCount)));
		button.lastChild.append(make('span', 'unit', ' allocations'));
		$('views').append(button);
	});
}

/* ---- controls ---- */

/* Arrow keys within a group of radio buttons, as everywhere. */
function radioKeys(event) {
	const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
	if (!step)
		return;
	event.preventDefault();
	event.stopPropagation();
	const buttons = [...event.currentTarget.querySelectorAll('[role="radio"]')];
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
	$('reset').addEventListener('click', () => report.zoomTo(0));
	$('theme').addEventListener('click', () => report.setTheme(report.theme === 'dark' ? 'light' : 'dark', true));
	$('open-help').addEventListener('click', () => $('help').showModal());
	$('sites-dialog').append($('sites'));
	$('sites-dialog').querySelector('form').prepend($('sites-title'));
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

function wireKeys(report) {
	const keys = {
		'/': () => {
			$('search').focus();
			$('search').select();
		},
		'?': () => $('help').showModal(),
		'Escape': () => report.zoomTo(0),
		'n': () => report.nextMatch(1),
		'N': () => report.nextMatch(-1),
		'm': () => report.change({ count: !report.state.count }),
		'f': () => report.change({ flame: !report.state.flame }),
		'i': () => $('invert').click(),
		't': () => $('theme').click(),
		'c': () => report.copyStack(),
	};
	VIEWS.forEach((view, v) => {
		keys[v + 1] = () => report.change({ view: v });
	});
	document.addEventListener('keydown', (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || event.target === $('search') ||
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
	fillViews(model);
	$('app').hidden = false;
	wireControls(report);
	wirePicture(report);
	wireKeys(report);
	report.setTheme(savedTheme() || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'), false);
	report.readAddress();
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
