/* SPDX-License-Identifier: Apache-2.0 */
/* serve/web/serve.js - the list of captures, with a link to each report of each. */
'use strict';
const $ = (id) => document.getElementById(id);
const REPORTS = [['flame graph', '/flamegraphs/', '.html'], ['table', '/tables/', '.html'], ['leaks', '/leaks/', '.html'],
	['stats', '/stats/', '.json'], ['pprof', '/exports/pprof/', '.pb.gz'], ['capture', '/captures/', '.bin']];
const chosen = {};

function size(bytes) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let i = 0;
	for (; bytes >= 1024 && i < units.length - 1; i++)
		bytes /= 1024;
	return `${i ? bytes.toFixed(1) : bytes} ${units[i]}`;
}

function cell(row, text, kind) {
	const td = row.insertCell();
	td.textContent = td.title = text;
	td.className = kind || '';
	return td;
}

function link(name, prefix, suffix, text) {
	const a = document.createElement('a');
	a.href = prefix + encodeURIComponent(name) + suffix;
	a.textContent = text;
	return a;
}

function compare() {
	const { base, next } = chosen, a = $('compare');
	if (!base || !next)
		return;
	a.href = `/diffs/${encodeURIComponent(base)}/${encodeURIComponent(next)}.html`;
	a.removeAttribute('aria-disabled');
}

function show(capture) {
	const row = $('captures').insertRow(), seconds = (capture.end_ns - capture.start_ns) / 1e9;
	cell(row, capture.name);
	cell(row, capture.command || '', 'command');
	cell(row, capture.start_ns ? new Date(capture.start_ns / 1e6).toLocaleString() : '');
	cell(row, capture.end_ns ? `${seconds.toFixed(1)} s` : '', 'number');
	cell(row, capture.events === null ? capture.damage || '' : capture.events.toLocaleString(),
		capture.events === null ? 'damage' : 'number');
	cell(row, size(capture.bytes), 'number');
	const reports = row.insertCell();
	for (const [text, prefix, suffix] of REPORTS)
		reports.append(link(capture.name, prefix, suffix, text));
	for (const side of ['base', 'next']) {
		const radio = document.createElement('input');
		Object.assign(radio, { type: 'radio', name: side, onchange: () => { chosen[side] = capture.name; compare(); } });
		radio.setAttribute('aria-label', `${side === 'base' ? 'before' : 'after'}: ${capture.name}`);
		row.insertCell().append(radio);
	}
}

(async () => {
	const answer = await fetch('/captures.json');
	if (!answer.ok) {
		$('state').textContent = await answer.text();
		return;
	}
	const captures = await answer.json();
	captures.forEach(show);
	$('state').textContent = captures.length ? `${captures.length} captures` : 'no captures here yet';
	document.documentElement.dataset.ready = '1';
})();
