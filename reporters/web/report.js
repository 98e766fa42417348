/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/report.js - the report as it is shown now: picture, words, controls.
 * Knows: the document. Does not know: how data is packed, who presses what.
 * Called by page.js; calls state.js, chart.js, draw.js and model.js. Foreign text goes into the document through
 * textContent alone. */

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
	const element = document.createElement(tag);
	if (className)
		element.className = className;
	if (text !== undefined)
		element.textContent = text;
	return element;
}

const VIEW_TEXT = {
	peak: ['Peak', 'live at the peak'],
	leaks: ['Leaks', 'live at the end'],
	allocated: ['Allocated', 'all allocations'],
	temporary: ['Temporary', 'released at once'],
	/* of two captures */
	new: ['New', 'the new capture'],
	base: ['Base', 'the capture it is compared with'],
	grown: ['Grown', 'what is more than in the base'],
	shrunk: ['Shrunk', 'what is less'],
};
const RANGE_TEXT = { peak: 'live at the peak of the range', leaks: 'allocated in the range, live at its end' };
const NOTHING_TEXT = {
	peak: 'Nothing was live: no allocation was seen.',
	leaks: 'No leaks: everything that was allocated during the capture was released again.',
	allocated: 'No allocation was seen.',
	temporary: 'No temporary allocations: nothing was released at once.',
	new: 'The new capture has nothing in this view.',
	base: 'The base has nothing in this view.',
	grown: 'Nothing is more than in the base.',
	shrunk: 'Nothing is less than in the base.',
};
const FUNCTION_SHOWN = 900, PLACE_SHOWN = 300;	/* characters in the tooltip */

function cut(text, most) {
	return text.length > most ? text.slice(0, most) + '…' : text;
}

class Report extends State {
	constructor(model) {
		super(model, document.body.dataset.first.split(' '));
		this.painter = new Painter($('canvas'), model);
		this.chart = new Chart($('chart-canvas'), model);
		this.chartHover = null;
		this.hover = this.focusAt = -1;
		this.found = null;
		this.keyboard = false;		/* the focus is drawn only for who uses it */
	}
	readAddress() {
		super.readAddress();
		$('search').value = this.state.query;
	}
	/* Changes state and draws; the zoomed frame is found again in the new tree. */
	change(changes) {
		const old = this.tree, nodes = this.nodes, zoom = this.state.zoom;
		Object.assign(this.state, changes);
		this.renewTree();
		this.state.zoom = zoom === 0 || 'inverted' in changes || this.state.sandwich ? 0 : this.state.inverted ?
			findPath(this.tree, old.path(zoom).map((node) => old.frame[node])) :
			sameNode(nodes, this.nodes, zoom);
		if (!(this.tree.value[this.state.zoom] > 0))
			this.state.zoom = 0;
		this.writeAddress(this.step);
		this.step = false;
		this.refresh();
	}
	/* From one time to another, in ns; the whole capture is no range. */
	setRange(fromNs, toNs) {
		const range = this.model.rangeOf(fromNs, toNs);
		if (String(range) === String(this.state.range)) {
			this.refreshRange();
			return;
		}
		this.step = true;
		this.change({ range });
	}
	/* Callers and callees of a frame's function; 0 leaves them. */
	showFunction(frame) {
		if (frame >= this.model.frames || frame === this.state.sandwich)
			return;
		this.step = true;
		this.state.zoom = 0;
		this.change({ sandwich: frame });
	}
	/* The frame that a key means: under the pointer, focused, zoomed to; 0 for none. */
	frameMeant() {
		const i = this.hover >= 0 ? this.hover : this.focusAt;
		const node = i >= 0 && this.layout.node[i] > 0 ? this.layout.node[i] : this.state.zoom;
		return node > 0 ? this.tree.frame[node] : 0;
	}
	/* One step out: of the sandwich, then of the zoom. */
	leave() {
		if (this.state.sandwich)
			this.showFunction(0);
		else
			this.zoomTo(0);
	}
	zoomTo(node) {
		if (node === this.state.zoom)
			return;
		this.state.zoom = node;
		this.writeAddress(true);
		this.hideTip();
		this.layoutNow();
		this.focusNode(node, true);
		this.refreshReset();
	}
	refreshReset() {
		$('reset').disabled = this.state.zoom === 0 && !this.state.sandwich;
		$('sandwich').disabled = this.state.zoom === 0 && !this.state.sandwich;
	}
	/* Everything that depends on the state. */
	refresh() {
		this.refreshControls();
		this.refreshSearch();
		this.hideTip();
		this.layoutNow();
		this.focusAt = -1;
		this.speakDefault();
	}

	/* ---- picture ---- */

	layoutNow() {
		const scroll = $('scroll'), s = this.state;
		const height = scroll.clientHeight - 16;
		let width = scroll.clientWidth - 32;
		const focus = this.focusAt >= 0 && this.layout ? this.layout.node[this.focusAt] : null;
		for (let round = 0; round < 2; round++) {
			this.layout = s.sandwich ? new SandwichLayout(this.tree, Math.max(1, width)) :
				new Layout(this.tree, s.zoom, Math.max(1, width));
			$('spacer').style.height = `${this.layout.rows * ROW}px`;
			if (scroll.clientWidth - 32 === width)
				break;
			width = scroll.clientWidth - 32;	/* a scroll bar came or went */
		}
		this.total = Math.max(this.layout.rows, Math.floor(height / ROW));
		const ratio = window.devicePixelRatio || 1, painter = this.painter;
		if (painter.width !== width || painter.height !== height || painter.ratio !== ratio) {
			painter.resize(Math.max(1, width), Math.max(1, height), ratio);
			$('canvas').style.width = `${width}px`;
			$('canvas').style.height = `${height}px`;
		}
		this.hover = -1;
		if (focus !== null)
			this.focusAt = this.layout.node.indexOf(focus);
		this.showRow(this.layout.zoomRow, true);
		$('nothing').hidden = this.tree.value[0] > 0;
		if (this.tree.value[0] === 0)
			$('nothing').textContent = this.nothingText();
		this.paintNow();
	}
	nothingText() {
		const totals = this.model.views[2];
		if (totals.totalCount === 0 && !this.model.diff)
			return 'This capture holds no allocations.\nThe program allocated nothing while memtrace was watching.';
		return this.tree.hiddenBytes > 0 ? 'Everything in this view was allocated by imports, which are hidden.' :
			this.state.range ? 'Nothing in this range of time.' : NOTHING_TEXT[VIEWS[this.state.view]];
	}
	showRow(row, lazy) {
		const scroll = $('scroll'), height = this.painter.height;
		const y = (this.flame ? this.total - 1 - row : row) * ROW;
		const margin = Math.min(3 * ROW, height / 4);
		if (lazy && this.flame && this.freshScroll !== this.flame)
			scroll.scrollTop = scroll.scrollHeight;
		this.freshScroll = this.flame;
		if (y < scroll.scrollTop)
			scroll.scrollTop = y - margin;
		else if (y + ROW > scroll.scrollTop + height)
			scroll.scrollTop = y + ROW - height + margin;
	}
	paintSoon() {
		if (!this.frameRequest)
			this.frameRequest = requestAnimationFrame(() => this.paintNow());
	}
	paintNow() {
		if (this.frameRequest)
			cancelAnimationFrame(this.frameRequest);
		this.frameRequest = 0;
		const root = this.rootName();
		this.painter.paint({
			layout: this.layout, flame: this.flame, scroll: $('scroll').scrollTop, total: this.total,
			mark: this.found && this.found.mark, theme: this.theme, hover: this.hover,
			focus: this.keyboard ? this.focusAt : -1, count: this.state.count, rootLabel: `${cut(root, 200)}   ${this.amount(this.tree.value[0])}`,
		});
	}
	rootName() {
		return this.state.sandwich ? this.model.functionName(this.state.sandwich) : this.model.facts.command || 'all';
	}
	amount(value) {
		return this.state.count ? `${countText(value)} allocations` : sizeText(value);
	}
	/* The rectangle under a point of the page. */
	at(clientX, clientY) {
		const box = $('canvas').getBoundingClientRect();
		const x = clientX - box.left, y = clientY - box.top;
		if (x < 0 || y < 0 || x >= box.width || y >= box.height || this.tree.value[0] === 0)
			return -1;
		const row = Math.floor((y + $('scroll').scrollTop) / ROW);
		return this.layout.find(this.flame ? this.total - 1 - row : row, x);
	}

	/* ---- words ---- */

	rectangleFacts(i) {
		const { layout, tree, model } = this, node = layout.node[i];
		if (node < 0) {
			const rest = layout.smaller(i);
			return { name: `${countText(rest.count)} smaller frames`, place: 'zoom to their caller to tell them apart',
				bytes: rest.bytes, blocks: rest.blocks, self: null };
		}
		const frame = tree.frame[node], known = node > 0 && frame < model.frames;
		const place = known ? model.place(frame, false) : '';
		const module = known && model.strings[model.file[frame]] ? model.strings[model.module[frame]] : '';
		return {
			name: node === 0 ? this.rootName() : known ? model.functionName(frame) : 'frames not shown',
			place: module ? `${place}  (${module})` : place, bytes: tree.bytes[node], blocks: tree.blocks[node],
			self: [tree.selfBytes[node], tree.selfBlocks[node]],
			source: known && model.source.get(frame) || '',
			inlined: known && (model.flags[frame] & FLAG_INLINED) !== 0,
			nameless: known && model.kind[frame] === KIND_NATIVE && /^0x[0-9a-f]+$/.test(model.functionName(frame)),
		};
	}
	sentence(i) {
		const f = this.rectangleFacts(i), tree = this.tree;
		const share = this.state.count ? percentText(f.blocks, tree.blocks[0]) : percentText(f.bytes, tree.bytes[0]);
		return `${cut(f.name, 200)}${f.place ? `, ${cut(f.place, 200)}` : ''}: ${sizeText(f.bytes)} in ` +
			`${countText(f.blocks)} allocation${f.blocks === 1 ? '' : 's'}, ${share} of the view` + this.changeSentence(i);
	}
	changeSentence(i) {
		const node = this.layout.node[i];
		if (!this.model.diff || node < 0)
			return '';
		const { after, before, change } = this.tree.change(node), text = this.state.count ? countText : sizeText;
		return `; ${signedText(change, text)}, from ${text(before)} to ${text(after)}`;
	}
	/* Rows of the tooltip of two captures: base, new, change. */
	changeRows(node, row) {
		for (const [name, column, text] of [['Bytes', 'bytes', sizeText], ['Allocations', 'blocks', countText]]) {
			const { after, before, change } = this.tree.change(node, column);
			const share = before > 0 ? ` (${change >= 0 ? '+' : '−'}${(Math.abs(change) / before * 100).toFixed(1)}%)` : after > 0 ? ' (new)' : '';
			row(`${name} in base`, text(before), '');
			row(`${name} in new`, text(after), signedText(change, text) + share);
		}
	}
	speak(text) {
		if ($('status').textContent !== text)
			$('status').textContent = text;
	}
	speakDefault() {
		const s = this.state, tree = this.tree;
		const [name, about] = VIEW_TEXT[VIEWS[s.view]];
		let text = `${s.sandwich ? `Callers and callees of ${cut(this.rootName(), 200)}. ` : ''}${name} (${s.range ? `${RANGE_TEXT[VIEWS[s.view]]}, ${this.rangeText()}` : about}): ${sizeText(tree.bytes[0])} in ${countText(tree.blocks[0])} allocations`;
		if (tree.hiddenBytes > 0)
			text += `; ${sizeText(tree.hiddenBytes)} by imports hidden`;
		this.speak(text);
	}
	showTip(i, clientX, clientY) {
		const tip = $('tip'), f = this.rectangleFacts(i), tree = this.tree, zoom = this.state.zoom;
		const table = make('table');
		const row = (...cells) => {
			const tr = table.insertRow();
			for (const cell of cells)
				tr.insertCell().textContent = cell;
		};
		const of = (part, all) => percentText(part, all[0]) + (zoom ? ` · ${percentText(part, all[zoom])} of zoom` : '');
		row('Size', sizeText(f.bytes), of(f.bytes, tree.bytes));
		row('Allocations', countText(f.blocks), of(f.blocks, tree.blocks));
		if (this.model.diff && this.layout.node[i] >= 0)
			this.changeRows(this.layout.node[i], row);
		else if (f.self && f.self[1] > 0 && f.self[1] !== f.blocks)
			row('Of it itself', sizeText(f.self[0]), `${countText(f.self[1])} allocations`);
		tip.replaceChildren(make('div', 'function', cut(f.name, FUNCTION_SHOWN) + (f.inlined ? '  (inlined)' : '')),
			...f.place ? [make('div', 'place', cut(f.place, PLACE_SHOWN))] : [],
			...f.source ? [make('code', 'source', f.source)] : [], table,
			...f.nameless ? [make('div', 'hint', 'No symbol. `memtrace symbolize` names it where its debug package is installed.')] : []);
		tip.dir = 'ltr';
		tip.hidden = false;
		const stage = $('stage').getBoundingClientRect(), w = tip.offsetWidth, h = tip.offsetHeight;
		const x = clientX - stage.left, y = clientY - stage.top;
		const left = Math.max(8, Math.min(x + 14, stage.width - w - 8));
		let top = y + 18;
		if (top + h > stage.height - 4)
			top = y - h - 12 >= 4 - stage.top ? y - h - 12 : stage.height - h - 4;
		tip.style.left = `${left}px`;
		tip.style.top = `${top}px`;
	}
	hideTip() {
		$('tip').hidden = true;
	}

	/* ---- controls ---- */

	refreshControls() {
		const s = this.state;
		const check = (selector, test) => {
			for (const button of document.querySelectorAll(selector)) {
				const on = test(button.dataset);
				button.setAttribute('aria-checked', String(on));
				button.tabIndex = on ? 0 : -1;
			}
		};
		check('[data-view]', (d) => d.view === VIEWS[s.view]);
		this.refreshRange();
		check('[data-metric]', (d) => (d.metric === 'count') === s.count);
		check('[data-shape]', (d) => (d.shape === 'flame') === s.flame);
		for (const button of document.querySelectorAll('[data-show]')) {
			button.hidden = !this.has[button.dataset.show];
			button.setAttribute('aria-pressed', String(s.show[button.dataset.show]));
		}
		$('invert').setAttribute('aria-pressed', String(s.inverted));
		$('thread').value = String(s.thread);
		$('sandwich').setAttribute('aria-pressed', String(s.sandwich > 0));
		for (const button of [$('invert'), ...document.querySelectorAll('[data-shape]')])
			button.disabled = s.sandwich > 0;
		this.refreshReset();
	}
	rangeText() {
		const [a, b] = this.state.range, { model } = this;
		return `${durationText(model.rangeNs(a) / 1e9)} to ${durationText(model.rangeNs(b) / 1e9)}`;
	}
	/* What the view buttons and the chart say of the range. */
	refreshRange() {
		const { range } = this.state, { model } = this;
		VIEWS.forEach((view, v) => {
			const button = document.querySelector(`[data-view=${view}]`), none = range !== null && v > 1;
			const totals = none ? null : this.values(v), peak = range ? model.peakInstant(range) : -1;
			let when = VIEW_TEXT[view][1];
			if (range)
				when = none ? 'not for a range of time' : v === 0 && peak >= 0 ?
					`live at ${durationText(model.instantNs[peak] / 1e9)}` : 'of the range, live at its end';
			else if (v === 0 && model.facts.peak_ns && !model.diff)
				when = `live at ${durationText(Number(model.facts.peak_ns) / 1e9)}`;
			button.disabled = none;
			button.querySelector('.about').textContent = when;
			button.querySelector('.size').textContent = totals ? sizeText(totals.totalBytes) : '–';
			button.querySelector('.number').textContent = totals ? countText(totals.totalCount) : '–';
		});
		$('from').value = (model.rangeNs(range ? range[0] : -1) / 1e9).toFixed(3);
		$('to').value = (model.rangeNs(range ? range[1] : model.instants) / 1e9).toFixed(3);
		$('range-all').disabled = !range;
		$('timeline-text').textContent = range ? `range: ${this.rangeText()}` : 'heap over time';
		this.paintTime();
	}
	refreshSearch() {
		const query = this.state.query.trim(), output = $('found');
		this.found = null;
		output.replaceChildren();
		if (!query)
			return;
		const frames = matchFrames(this.model, query);
		if (!frames) {
			output.textContent = 'not a regular expression';
			return;
		}
		const canonical = this.model.canonical(this.state.show.lines);
		if (canonical)
			for (let i = 1; i < this.model.frames; i++)
				frames[canonical[i]] |= frames[i];
		this.found = this.tree.match(frames);
		if (!this.found.matches) {
			output.textContent = 'no match';
			return;
		}
		output.append(make('b', '', percentText(this.found.value, this.tree.value[0])),
			` ${this.amount(this.found.value)} matched`);
	}
	search(text) {
		this.state.query = text;
		this.writeAddress(false);
		this.refreshSearch();
		this.paintSoon();
	}
	nextMatch(step) {
		if (!this.found)
			return;
		this.keyboard = true;
		const { layout } = this, n = layout.node.length;
		for (let k = 1; k <= n; k++) {
			const i = (((this.focusAt < 0 ? (step > 0 ? -1 : 0) : this.focusAt) + k * step) % n + n) % n;
			if (layout.node[i] > 0 && this.found.mark(layout.node[i]) & 4) {
				this.focusRectangle(i);
				return;
			}
		}
	}
	setTheme(name, remember) {
		this.theme = name;
		document.documentElement.dataset.theme = name;
		$('theme').textContent = name === 'dark' ? 'Light' : 'Dark';
		$('theme').setAttribute('aria-label', name === 'dark' ? 'Light colours' : 'Dark colours');
		if (remember) {
			try {
				localStorage.setItem('memtrace-theme', name);
			} catch {
				/* Private windows refuse: it holds for this page then. */
			}
		}
		this.paintTime();
		if (this.layout)
			this.paintNow();
	}
	paintTime() {
		const ratio = window.devicePixelRatio || 1;
		if (!$('timeline').hidden)
			paintTimeline($('timeline-canvas'), this.model, this.theme, ratio);
		if (!$('chart').hidden)
			this.chart.paint(this.theme, this.state.range, this.chartHover, ratio);
	}

	/* ---- focus ---- */

	focusRectangle(i) {
		this.focusAt = i;
		this.showRow(this.layout.rowOf(i), false);
		this.speak(this.sentence(i));
		this.paintSoon();
	}
	focusNode(node, quiet) {
		const i = this.layout.node.indexOf(node);
		this.focusAt = i;
		if (i >= 0)
			this.speak(this.sentence(i));
		if (!quiet)
			this.paintSoon();
		else
			this.paintNow();
	}
	move(key) {
		const { layout } = this;
		if (this.focusAt < 0 || key === 'Home') {
			this.focusRectangle(layout.row[layout.zoomRow]);
			return;
		}
		const i = this.focusAt, row = layout.rowOf(i);
		let to = -1;
		if (key === 'ArrowLeft')
			to = i > layout.row[row] ? i - 1 : -1;
		else if (key === 'ArrowRight')
			to = i + 1 < layout.row[row + 1] ? i + 1 : -1;
		else if ((key === 'ArrowDown') !== this.flame)
			to = this.neighbour(i, row + 1);
		else
			to = this.neighbour(i, row - 1);
		if (to >= 0)
			this.focusRectangle(to);
	}
	/* Away from the function or the root the largest one hangs on the left edge; towards it there is
	 * one only. */
	neighbour(i, row) {
		const { layout } = this, away = (row >= layout.zoomRow) === (row > layout.rowOf(i));
		return layout.find(row, layout.x[i] + (away ? 1e-6 : layout.w[i] / 2));
	}
	zoomRectangle(i) {
		const found = this.layout.node[i], node = found < 0 ? -1 - found : found;
		if (!this.state.sandwich)
			this.zoomTo(node);
		else if (node > 0)
			this.showFunction(this.tree.frame[node]);
	}
	/* Root to leaf, as `transform folded` writes it, with the value. */
	stackText(i) {
		const { layout, tree, model } = this;
		const node = layout.node[i] < 0 ? -1 - layout.node[i] : layout.node[i];
		/* The line's text follows its place where it is known, as in a traceback. */
		const lines = tree.path(node).map((n) => {
			const frame = tree.frame[n];
			if (frame >= model.frames)
				return 'frames not shown';
			const place = model.place(frame, false);
			const source = model.source.has(frame) ? `\n    ${model.source.get(frame)}` : '';
			return (place ? `${model.functionName(frame)} (${place})` : model.functionName(frame)) + source;
		});
		return `${lines.join('\n')}\n${sizeText(tree.bytes[node])} in ${countText(tree.blocks[node])} allocations` +
			` (${VIEW_TEXT[VIEWS[this.state.view]][0].toLowerCase()})\n`;
	}
	async copyStack() {
		const i = this.hover >= 0 ? this.hover : this.focusAt;
		if (i < 0)
			return;
		try {
			await navigator.clipboard.writeText(this.stackText(i));
			this.speak('Stack copied.');
		} catch {
			this.speak('The browser did not allow copying.');
		}
	}
}
