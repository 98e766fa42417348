/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/table.js - rows in a window, sorted and filtered; a million of them.
 * Knows: the payload of reporters/table.h. Does not know: what rows mean.
 * Follows model.js, of which it takes Reader and inflate; the two are one script. */

const $ = (id) => document.getElementById(id);
const ROW = 24, TALLEST = 8e6;	/* pixels; browsers end elements somewhere above ten million */

class Table {
	constructor(bytes) {
		const r = new Reader(bytes), decoder = new TextDecoder();
		if (decoder.decode(bytes.subarray(0, 4)) !== 'MTTB' || bytes[4] !== 1)
			throw new Error('the data of this page is of another version');
		r.at = 5;
		this.threads = r.number() > 0;
		this.strings = new Array(r.number());
		for (let i = 0; i < this.strings.length; i++)
			this.strings[i] = r.text(decoder);
		const n = this.count = r.number();
		this.size = r.column(new Float64Array(n));
		this.blocks = r.column(new Float64Array(n));
		this.allocator = r.column(new Uint32Array(n));
		this.thread = r.column(new Uint32Array(n));
		this.place = r.column(new Uint32Array(n));
		this.columns = [['size', 'Size'], ['blocks', 'Allocations'], ['allocator', 'Allocator'],
			...this.threads ? [['thread', 'Thread']] : [], ['place', 'Location']];
		this.shown = Uint32Array.from({ length: n }, (_, i) => i);
		this.sortBy('size', true);
	}
	isNumber(column) {
		return column === 'size' || column === 'blocks';
	}
	/* Strings are compared once each, not once for every pair of rows. */
	ranks() {
		if (!this.rank) {
			const order = this.strings.map((_, i) => i);
			order.sort((a, b) => this.strings[a] < this.strings[b] ? -1 : this.strings[a] > this.strings[b] ? 1 : 0);
			this.rank = new Uint32Array(order.length);
			order.forEach((id, at) => {
				this.rank[id] = at;
			});
		}
		return this.rank;
	}
	sortBy(column, down) {
		const values = this[column], rank = this.isNumber(column) ? null : this.ranks(), sign = down ? -1 : 1;
		const size = this.size;
		this.sorted = { column, down };
		this.shown.sort((a, b) => sign * (rank ? rank[values[a]] - rank[values[b]] : values[a] - values[b]) ||
			size[b] - size[a] || a - b);
	}
	filter(text) {
		const wanted = text.trim().toLowerCase(), rows = [];
		const hit = this.strings.map((s) => s.toLowerCase().includes(wanted));
		for (let i = 0; i < this.count; i++)
			if (hit[this.place[i]] || hit[this.allocator[i]] || this.threads && hit[this.thread[i]])
				rows.push(i);
		this.shown = Uint32Array.from(rows);
		this.sortBy(this.sorted.column, this.sorted.down);
	}
	totals() {
		let size = 0, blocks = 0;
		for (const i of this.shown) {
			size += this.size[i];
			blocks += this.blocks[i];
		}
		return { size, blocks };
	}
	csv() {
		const quoted = (s) => `"${s.replaceAll('"', '""')}"`;
		const lines = [this.columns.map(([name]) => name).join(',')];
		for (const i of this.shown)
			lines.push(this.columns.map(([name]) =>
				this.isNumber(name) ? this[name][i] : quoted(this.strings[this[name][i]])).join(','));
		return `${lines.join('\n')}\n`;
	}
}

function sizeText(bytes) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
	let u = 0;
	for (; bytes >= 1024 && u < units.length - 1; u++)
		bytes /= 1024;
	return u ? `${bytes >= 100 ? bytes.toFixed(0) : bytes >= 10 ? bytes.toFixed(1) : bytes.toFixed(2)} ${units[u]}` : `${bytes} B`;
}

function cell(text, className) {
	const div = document.createElement('div');
	div.setAttribute('role', 'cell');
	div.className = className;
	div.textContent = text.length > 2000 ? `${text.slice(0, 2000)}…` : text;
	div.title = div.textContent;
	return div;
}

function drawRows(table) {
	const scroll = $('scroll'), spacer = $('spacer'), n = table.shown.length;
	const full = n * ROW, tall = Math.min(full, TALLEST), room = scroll.clientHeight;
	spacer.style.height = `${tall}px`;
	const scale = tall > room ? (full - room) / (tall - room) : 1;
	const top = Math.min(scroll.scrollTop * scale, Math.max(0, full - room));
	const first = Math.floor(top / ROW), rows = [spacer];
	for (let k = first; k < n && k * ROW < top + room; k++) {
		const i = table.shown[k], row = document.createElement('div');
		row.className = table.threads ? 'row threads' : 'row';
		row.setAttribute('role', 'row');
		row.setAttribute('aria-rowindex', String(k + 2));
		row.style.top = `${scroll.scrollTop + k * ROW - top}px`;
		for (const [name] of table.columns)
			row.append(name === 'size' ? cell(sizeText(table.size[i]), 'number') :
				name === 'blocks' ? cell(table.blocks[i].toLocaleString('en'), 'number') :
				cell(table.strings[table[name][i]], name === 'place' ? '' : 'soft'));
		rows.push(row);
	}
	scroll.replaceChildren(...rows);
}

function drawHead(table) {
	$('head').className = table.threads ? 'row head threads' : 'row head';
	$('head').replaceChildren(...table.columns.map(([name, title]) => {
		const head = document.createElement('div'), button = document.createElement('button');
		const mine = table.sorted.column === name;
		head.setAttribute('role', 'columnheader');
		head.className = table.isNumber(name) ? 'number' : '';
		head.setAttribute('aria-sort', mine ? (table.sorted.down ? 'descending' : 'ascending') : 'none');
		button.type = 'button';
		button.dataset.column = name;
		button.textContent = mine ? `${title} ${table.sorted.down ? '▼' : '▲'}` : title;
		button.addEventListener('click', () => {
			table.sortBy(name, mine ? !table.sorted.down : table.isNumber(name));
			refresh(table);
			document.querySelector(`[data-column="${name}"]`).focus();
		});
		head.append(button);
		return head;
	}));
}

function refresh(table) {
	const totals = table.totals();
	$('shown').textContent = `${table.shown.length.toLocaleString('en')} of ${table.count.toLocaleString('en')} rows: ` +
		`${sizeText(totals.size)} in ${totals.blocks.toLocaleString('en')} allocations`;
	$('table').setAttribute('aria-rowcount', String(table.shown.length + 1));
	drawHead(table);
	$('scroll').scrollTop = 0;
	drawRows(table);
}

function saveCsv(table) {
	const link = document.createElement('a');
	link.href = URL.createObjectURL(new Blob([table.csv()], { type: 'text/csv' }));
	link.download = 'memtrace-table.csv';
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

let table;

async function start() {
	const begun = performance.now();
	table = new Table(await inflate($('data').textContent));
	$('data').remove();
	$('plain').hidden = true;
	$('table').hidden = $('bar').hidden = false;
	refresh(table);
	$('filter').addEventListener('input', () => {
		table.filter($('filter').value);
		refresh(table);
	});
	$('csv').addEventListener('click', () => saveCsv(table));
	$('scroll').addEventListener('scroll', () => requestAnimationFrame(() => drawRows(table)), { passive: true });
	new ResizeObserver(() => drawRows(table)).observe($('scroll'));
	document.addEventListener('keydown', (event) => {
		if (event.key !== '/' || event.target === $('filter') || event.ctrlKey || event.metaKey || event.altKey)
			return;
		event.preventDefault();
		$('filter').focus();
	});
	document.documentElement.dataset.ready = String(Math.round(performance.now() - begun));
}

start().catch((error) => {
	document.documentElement.dataset.failed = error.message;
	console.error(error);
});
