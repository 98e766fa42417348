/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/model.js - the report's data, and numbers as text.
 * Knows: the payload of reporters/flamegraph.h, frames, values. Does not know: the page, pixels.
 * Called by trees.js, draw.js, chart.js, report.js and page.js; these are one script, in this order. */
'use strict';

const VIEWS = ['peak', 'leaks', 'allocated', 'temporary'];
const KIND_NATIVE = 0, KIND_PYTHON = 1, KIND_MARK = 2;
const NEVER = 511;		/* `gone` of what was live at the end */
const FLAG_INLINED = 1, FLAG_INTERPRETER = 2, FLAG_IMPORT = 4, FLAG_THREAD = 128;

/* ---- payload ---- */

class Reader {
	constructor(bytes) {
		this.bytes = bytes;
		this.at = 0;
	}
	/* LEB128; exact up to 2^53. */
	number() {
		const bytes = this.bytes;
		let b = bytes[this.at++];
		if (b < 128)
			return b;
		let value = b & 127, scale = 128;
		do {
			b = bytes[this.at++];
			value += (b & 127) * scale;
			scale *= 128;
		} while (b >= 128);
		return value;
	}
	column(array) {
		for (let i = 0; i < array.length; i++)
			array[i] = this.number();
		return array;
	}
	text(decoder) {
		const length = this.number();
		this.at += length;
		return decoder.decode(this.bytes.subarray(this.at - length, this.at));
	}
}

async function inflate(base64) {
	const binary = atob(base64);
	const packed = new Uint8Array(binary.length);
	for (let i = 0; i < packed.length; i++)
		packed[i] = binary.charCodeAt(i);
	const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
	return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* Entries of a list, thread by thread. */
class ByThread {
	constructor({ node, thread }, threads) {
		this.node = node;
		this.split = new Uint32Array(node.length);	/* the nodes they get */
		const start = this.start = new Uint32Array(threads + 1);
		for (let i = 0; i < thread.length; i++)
			start[thread[i] + 1]++;
		for (let k = 0; k < threads; k++)
			start[k + 1] += start[k];
		const next = start.slice(0, threads), order = this.order = new Uint32Array(node.length);
		for (let i = 0; i < thread.length; i++)
			order[next[thread[i]]++] = i;
	}
	entries(thread) {
		return this.order.subarray(this.start[thread], this.start[thread + 1]);
	}
}

/* What the file holds, as columns: nodes in pre-order, so a parent comes before its children. */
class Model {
	constructor(bytes) {
		const r = new Reader(bytes), decoder = new TextDecoder();
		if (decoder.decode(bytes.subarray(0, 4)) !== 'MTFG' || bytes[4] !== 3)
			throw new Error('the data of this page is of another version');
		r.at = 5;
		this.facts = Object.create(null);
		for (let n = r.number(); n > 0; n--) {
			const name = r.text(decoder);
			this.facts[name] = r.text(decoder);
		}
		/* A comparison of two captures has its own four. */
		this.diff = this.facts.diff !== undefined;
		if (this.diff)
			VIEWS.splice(0, VIEWS.length, 'new', 'base', 'grown', 'shrunk');
		this.notes = [];
		for (let n = r.number(); n > 0; n--)
			this.notes.push({ warning: r.number() > 0, text: r.text(decoder) });
		this.threads = new Array(r.number());
		for (let i = 0; i < this.threads.length; i++)
			this.threads[i] = r.text(decoder);
		this.strings = new Array(r.number());
		for (let i = 0; i < this.strings.length; i++)
			this.strings[i] = r.text(decoder);
		this.readFrames(r);
		this.source = new Map();	/* frame -> the text of its line */
		for (const frame of running(r.column(new Uint32Array(r.number()))))
			this.source.set(frame, '');
		for (const frame of this.source.keys())
			this.source.set(frame, r.text(decoder));
		this.readNodes(r);
		this.readViews(r);
		this.points = r.number();
		this.time = running(r.column(new Float64Array(this.points)));
		this.heap = r.column(new Float64Array(this.points));
		this.rss = r.column(new Float64Array(this.points));
		this.readTemporal(r);
		if (this.threads.length)
			this.splitNodes();
		this.endNs = Math.max(Number(this.facts.duration_ns || 0), this.points ? this.time[this.points - 1] : 0, 1);
	}
	readTemporal(r) {
		const n = this.instants = r.number();
		this.instantNs = running(r.column(new Float64Array(n)));
		this.instantHeap = r.column(new Float64Array(n));
		const count = r.number();
		const node = running(r.column(new Uint32Array(count))), thread = this.readThread(r, count);
		const born = r.column(new Uint16Array(count)), gone = r.column(new Uint16Array(count));
		for (let i = 0; i < count; i++) {
			if (i && node[i] === node[i - 1] && (!thread || thread[i] === thread[i - 1]))
				born[i] += born[i - 1];
			gone[i] = gone[i] ? born[i] + gone[i] : NEVER;
		}
		this.lives = { node, thread, born, gone, bytes: r.column(new Float64Array(count)), count: r.column(new Float64Array(count)) };
	}

	/* ---- ranges of time: from instant a (-1: the start) to instant b (the number of instants: the
	 * end) ---- */

	rangeNs(instant) {
		return instant < 0 ? 0 : instant >= this.instants ? this.endNs : this.instantNs[instant];
	}
	/* The range that is nearest to two times; null for the whole capture. */
	rangeOf(fromNs, toNs) {
		const nearest = (ns, least) => {
			let best = least;
			for (let i = least; i <= this.instants; i++)
				if (Math.abs(this.rangeNs(i) - ns) < Math.abs(this.rangeNs(best) - ns))
					best = i;
			return best;
		};
		const a = Math.min(nearest(Math.min(fromNs, toNs), -1), this.instants - 1);
		const b = nearest(Math.max(fromNs, toNs), a + 1);
		return a < 0 && b >= this.instants ? null : [a, b];
	}
	/* The highest instant of a range, the last of equals; -1 when there is none. */
	peakInstant([a, b]) {
		let best = -1;
		for (let i = Math.max(0, a); i <= Math.min(b, this.instants - 1); i++)
			if (best < 0 || this.instantHeap[i] >= this.instantHeap[best])
				best = i;
		return best;
	}
	/* What a view holds for a range: live at its peak, or allocated in it and live at its end. The
	 * other views are not of moments. */
	rangeView(view, range) {
		const [a, b] = range, peak = this.peakInstant(range), { lives } = this, pick = [];
		const end = b >= this.instants ? NEVER - 1 : b;
		for (let k = 0; k < lives.node.length; k++)
			if (view === 0 ? lives.born[k] <= peak && peak < lives.gone[k] :
			    lives.born[k] > a && lives.born[k] <= end && end < lives.gone[k])
				pick.push(k);
		const bytes = Float64Array.from(pick, (k) => lives.bytes[k]);
		const count = Float64Array.from(pick, (k) => lives.count[k]);
		return { node: Uint32Array.from(pick, (k) => lives.node[k]), bytes, count,
			totalBytes: sum(bytes), totalCount: sum(count) };
	}
	/* Heap and resident size at a time: the point before it. */
	pointAt(ns) {
		let low = 0, high = this.points - 1;
		while (low < high) {
			const middle = low + high + 1 >> 1;
			if (this.time[middle] <= ns)
				low = middle;
			else
				high = middle - 1;
		}
		return { heap: this.heap[low], rss: this.rss[low] };
	}
	/* Frames of threads come behind those of the file. */
	readFrames(r) {
		const n = r.number(), all = this.frames = n + this.threads.length;
		for (const name of ['fn', 'file', 'module', 'line']) {
			this[name] = new Uint32Array(all);
			r.column(this[name].subarray(0, n));
		}
		this.kind = new Uint8Array(all).fill(KIND_MARK);
		this.flags = new Uint8Array(all).fill(FLAG_THREAD);
		for (let i = 0; i < n; i++) {
			const v = r.number();
			this.kind[i] = v & 3;
			this.flags[i] = v >> 2;
		}
		for (let k = 0; k < this.threads.length; k++)
			this.fn[n + k] = this.strings.push(this.threads[k]) - 1;
	}
	readThread(r, count) {
		return this.threads.length ? r.column(new Uint32Array(count)) : null;
	}
	/* The file has each stack once, and what each thread has of it: a tree for each thread, of the stacks
	 * that it has something of, in the order of the file. */
	splitNodes() {
		const { parent, frame, nodes } = this, lists = [...this.views, this.lives].map((list) => new ByThread(list, this.threads.length));
		const first = this.frames - this.threads.length, seen = new Int32Array(nodes).fill(-1), at = new Int32Array(nodes);
		const newParent = [0], newFrame = [0];
		for (let k = 0; k < this.threads.length; k++) {
			const own = [];
			for (const list of lists)
				for (const entry of list.entries(k))
					for (let i = list.node[entry]; i > 0 && seen[i] !== k; i = parent[i]) {
						seen[i] = k;
						own.push(i);
					}
			at[0] = newParent.push(0) - 1;
			newFrame.push(first + k);
			for (const i of Uint32Array.from(own).sort()) {
				at[i] = newParent.push(at[parent[i]]) - 1;
				newFrame.push(frame[i]);
			}
			for (const list of lists)
				for (const entry of list.entries(k))
					list.split[entry] = at[list.node[entry]];
		}
		this.nodes = newParent.length;
		this.parent = Int32Array.from(newParent);
		this.frame = Uint32Array.from(newFrame);
		[...this.views, this.lives].forEach((list, i) => {
			list.node = lists[i].split;
		});
	}
	readNodes(r) {
		const n = this.nodes = r.number() + 1;
		this.parent = new Int32Array(n);
		this.frame = new Uint32Array(n);
		const path = [0];
		let depth = 0;
		for (let i = 1; i < n; i++) {
			depth += 1 - r.number();
			this.parent[i] = path[depth - 1];
			path[depth] = i;
		}
		for (let i = 1; i < n; i++)
			this.frame[i] = r.number();
	}
	readViews(r) {
		this.views = [];
		for (let v = 0; v < VIEWS.length; v++) {
			const n = r.number();
			const node = running(r.column(new Uint32Array(n))), thread = this.readThread(r, n);
			const bytes = r.column(new Float64Array(n));
			const count = r.column(new Float64Array(n));
			this.views.push({ node, thread, bytes, count, totalBytes: sum(bytes), totalCount: sum(count) });
		}
	}
	/* Frames that differ in nothing but the line share the id of the first of them. */
	canonical(lines) {
		if (lines)
			return null;
		if (!this.unlined) {
			const seen = new Map();
			this.unlined = new Uint32Array(this.frames);
			for (let i = 1; i < this.frames; i++) {
				const key = `${this.fn[i]} ${this.file[i]} ${this.module[i]} ${this.kind[i]} ${this.flags[i]}`;
				const first = seen.get(key);
				if (first === undefined)
					seen.set(key, i);
				this.unlined[i] = first === undefined ? i : first;
			}
		}
		return this.unlined;
	}
	functionName(frame) {
		return this.strings[this.fn[frame]] || '(unknown)';
	}
	/* "file.py:12", "file.c:12", else the module, else "". */
	place(frame, short) {
		const file = this.strings[this.file[frame]];
		if (!file)
			return this.strings[this.module[frame]];
		const name = short ? file.slice(file.lastIndexOf('/') + 1) : file;
		return this.line[frame] ? `${name}:${this.line[frame]}` : name;
	}
}

/* Differences to values, in place. */
function running(array) {
	for (let i = 1; i < array.length; i++)
		array[i] += array[i - 1];
	return array;
}

function sum(array) {
	let total = 0;
	for (let i = 0; i < array.length; i++)
		total += array[i];
	return total;
}

/* ---- text of numbers ---- */

/* IEC with three digits, as everywhere in memtrace: "999 B", "1.00 KiB", "12.3 MiB". */
function sizeText(bytes) {
	if (bytes < 1024)
		return `${bytes} B`;
	const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
	let value = bytes / 1024, unit = 0;
	while (value >= 1023.5 && unit + 1 < units.length) {
		value /= 1024;
		unit++;
	}
	return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/* The sign is always there: colours alone do not tell everybody. */
function signedText(change, text) {
	return change === 0 ? '±0' : `${change > 0 ? '+' : '−'}${text(Math.abs(change))}`;
}

function countText(n) {
	return String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

function percentText(part, whole) {
	const share = whole > 0 ? part / whole * 100 : 0;
	return share > 0 && share < 0.1 ? '<0.1%' : `${share.toFixed(1)}%`;
}

function durationText(seconds) {
	if (seconds < 1)
		return `${Math.round(seconds * 1000)} ms`;
	if (seconds < 59.95)
		return `${seconds.toFixed(1)} s`;
	const whole = Math.round(seconds), two = (n) => String(n).padStart(2, '0');
	if (whole < 3600)
		return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
	return `${Math.floor(whole / 3600)}h ${two(Math.floor(whole / 60) % 60)}m ${two(whole % 60)}s`;
}

/* In the reader's own time zone, which is named. */
function timeText(milliseconds) {
	const date = new Date(milliseconds), two = (n) => String(n).padStart(2, '0');
	const zone = new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(date)
		.find((part) => part.type === 'timeZoneName');
	return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
		`${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone ? zone.value : ''}`.trim();
}
