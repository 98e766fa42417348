/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/state.js - what is shown of a report: its address, and the tree that follows from it.
 * Knows: the model, trees, the address bar. Does not know: the document.
 * Called by report.js and page.js; calls trees.js and model.js. */

const SHOW = { native: true, interpreter: false, imports: true, lines: true, threads: true };

class State {
	/* first: words for what a page begins with. */
	constructor(model, first) {
		this.model = model;
		this.trees = new Map();
		this.rangeViews = [];		/* of state.range, as far as they were asked for */
		this.first = {
			view: Math.max(0, VIEWS.indexOf(first[0])), count: first.includes('count'), flame: false,
			inverted: first.includes('inverted'), show: { ...SHOW }, query: '', zoom: 0, range: null, thread: 0,
			sandwich: 0,		/* a frame of the function whose callers and callees are shown */
		};
		this.has = this.whatIsThere();
		this.state = { ...this.first, show: { ...this.first.show } };
	}
	/* Kinds of frames in the report: a switch for what is not there would only puzzle. */
	whatIsThere() {
		const has = { native: false, python: false, interpreter: false, imports: false, threads: false };
		const { kind, flags } = this.model;
		for (let i = 1; i < this.model.frames; i++) {
			has.native ||= kind[i] === KIND_NATIVE;
			has.python ||= kind[i] === KIND_PYTHON;
			has.interpreter ||= (flags[i] & FLAG_INTERPRETER) !== 0;
			has.imports ||= (flags[i] & FLAG_IMPORT) !== 0;
			has.threads ||= (flags[i] & FLAG_THREAD) !== 0;
		}
		return { ...has, native: has.native && has.python, lines: !this.model.diff };
	}

	/* A sandwich has its own up and down. */
	get flame() {
		return this.state.flame && !this.state.sandwich;
	}

	/* ---- address ---- */

	readAddress() {
		const query = new URLSearchParams(location.hash.slice(1)), s = this.state, first = this.first;
		const view = VIEWS.indexOf(query.get('view'));
		s.view = view >= 0 ? view : first.view;
		s.count = query.has('metric') ? query.get('metric') === 'count' : first.count;
		s.flame = query.get('shape') === 'flame';
		s.inverted = query.has('inverted') ? query.get('inverted') === '1' : first.inverted;
		for (const name of Object.keys(SHOW))
			s.show[name] = query.has(name) ? query.get(name) === '1' : first.show[name];
		s.query = query.get('search') || '';
		s.range = this.parseRange(query.get('range') || '');
		s.thread = this.parseFrame(query.get('thread'), FLAG_THREAD);
		s.sandwich = this.parseFrame(query.get('function'), 0);
		this.renewTree();
		s.zoom = this.parseZoom(query.get('zoom') || '');
	}
	/* A node's number; in the inverted tree, which grows as it is looked at, a path of frames. */
	parseZoom(text) {
		if (!/^[0-9.]+$/.test(text))
			return 0;
		if (this.state.inverted) {
			const frames = text.split('.').map(Number), node = findPath(this.tree, frames);
			return this.tree.path(node).length === frames.length ? node : 0;
		}
		const zoom = Number(text);
		return Number.isInteger(zoom) && zoom < this.tree.count && this.tree.value[zoom] > 0 ? zoom : 0;
	}
	parseFrame(text, flag) {
		const frame = /^\d{1,9}$/.test(text || '') ? Number(text) : 0;
		return frame < this.model.frames && (!flag || this.model.flags[frame] & flag) ? frame : 0;
	}
	parseRange(text) {
		const parts = /^(-1|\d{1,3})_(\d{1,3})$/.exec(text);
		if (!parts)
			return null;
		const [a, b] = parts.slice(1).map(Number), { instants } = this.model;
		return a < b && b <= instants && a < instants && (a >= 0 || b < instants) ? [a, b] : null;
	}
	zoomText() {
		if (!this.state.inverted)
			return String(this.state.zoom);
		return this.tree.path(this.state.zoom).slice(0, 300).map((node) => this.tree.frame[node]).join('.');
	}
	/* What differs from the report's first state. A zoom is a step of history, the rest is not. */
	writeAddress(step) {
		const query = new URLSearchParams(), s = this.state, first = this.first;
		if (s.view !== first.view)
			query.set('view', VIEWS[s.view]);
		if (s.count !== first.count)
			query.set('metric', s.count ? 'count' : 'bytes');
		if (s.flame)
			query.set('shape', 'flame');
		if (s.inverted !== first.inverted)
			query.set('inverted', s.inverted ? '1' : '0');
		for (const name of Object.keys(SHOW))
			if (s.show[name] !== first.show[name])
				query.set(name, s.show[name] ? '1' : '0');
		if (s.query)
			query.set('search', s.query.slice(0, 500));
		if (s.thread)
			query.set('thread', String(s.thread));
		if (s.sandwich)
			query.set('function', String(s.sandwich));
		if (s.range)
			query.set('range', s.range.join('_'));
		if (s.zoom)
			query.set('zoom', this.zoomText());
		const hash = String(query) && `#${query}`;
		if (hash === location.hash)
			return;
		/* Without a hash the address has to be given whole. */
		const address = hash || location.pathname + location.search;
		if (step)
			history.pushState(null, '', address);
		else
			history.replaceState(null, '', address);
	}
	/* ---- tree ---- */

	/* Values of a view, of the range of time when one is chosen. */
	values(view) {
		const { range } = this.state;
		if (!range)
			return this.model.views[view];
		if (this.rangeViews.range !== range) {
			this.rangeViews = Object.assign([], { range });
			this.trees.clear();
		}
		return this.rangeViews[view] ||= this.model.rangeView(view, range);
	}
	renewTree() {
		const s = this.state;
		if (s.range && s.view > 1)
			s.view = 0;
		const values = this.values(s.view);
		const shown = JSON.stringify([s.show, s.thread]);
		if (this.shown !== shown) {
			this.shown = shown;
			this.nodes = filterNodes(this.model, s.show, s.thread);
			this.trees.clear();
		}
		const key = `${s.view} ${s.range || ''}${s.sandwich ? ` of ${s.sandwich}` : s.inverted ? ' inverted' : ''}`;
		let tree = this.trees.get(key);
		if (!tree) {
			/* One view of a big report takes tens of megabytes. */
			if (this.trees.size > 1)
				this.trees.clear();
			tree = new Tree(this.model, this.nodes, s.view, values);
			tree.setMetric(s.count);
			if (s.sandwich)
				tree = new SandwichTree(tree, functionFrames(this.model, s.sandwich));
			else if (s.inverted)
				tree = new InvertedTree(tree);
			this.trees.set(key, tree);
		}
		if (tree.value !== (s.count ? tree.blocks : tree.bytes))
			tree.setMetric(s.count);
		this.tree = tree;
	}
}
