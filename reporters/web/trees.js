/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/trees.js - the trees that are drawn: from the root, from the leaves, around a function.
 * Knows: the model's columns. Does not know: the page, pixels.
 * Called by draw.js, state.js, report.js and page.js; follows model.js. */

/* Nodes by (parent, frame), for merging what becomes equal when frames are left out. */
class NodeTable {
	constructor(capacity) {
		let size = 64;
		while (size < capacity * 2)
			size *= 2;
		this.mask = size - 1;
		this.slots = new Int32Array(size);
		this.parent = new Int32Array(capacity + 1);
		this.frame = new Uint32Array(capacity + 1);
		this.count = 1;
	}
	child(parent, frame) {
		let at = (Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame, 0x85ebca6b)) >>> 0;
		at = (at ^ at >>> 15) & this.mask;
		for (let node; (node = this.slots[at]) !== 0; at = at + 1 & this.mask)
			if (this.parent[node] === parent && this.frame[node] === frame)
				return node;
		const node = this.count++;
		this.slots[at] = node;
		this.parent[node] = parent;
		this.frame[node] = frame;
		return node;
	}
}

/* What the filter does with each frame: 0 keeps it, 1 leaves it out, 2 leaves out all above it. */
function frameRules(model, show) {
	const rules = new Uint8Array(model.frames);
	for (let i = 1; i < model.frames; i++) {
		const flags = model.flags[i];
		if (!show.imports && flags & FLAG_IMPORT)
			rules[i] = 2;
		else if (!show.interpreter && flags & FLAG_INTERPRETER || !show.threads && flags & FLAG_THREAD)
			rules[i] = 1;
	}
	return rules;
}

/* Which node of the shown tree stands for which node of the file: map[node]; -1 when it is left out,
 * -2 when it is of another thread than the one (a frame) that is asked for.
 * Without native frames a stack keeps its Python frames only; one that has none stays whole. */
function filterNodes(model, show, thread = 0) {
	const rules = frameRules(model, show), canonical = model.canonical(show.lines);
	const n = model.nodes, parent = model.parent, frame = model.frame;
	if (!thread && show.native && !canonical && !rules.includes(1) && !rules.includes(2))
		return { parent, frame, count: n, map: null };
	const table = new NodeTable(n + 1);
	const map = new Int32Array(n);
	const bare = show.native ? null : new Int32Array(n);	/* place without native frames */
	const python = show.native ? null : new Uint8Array(n);
	for (let i = 1; i < n; i++) {
		const up = parent[i], original = frame[i], rule = rules[original];
		if (map[up] < 0 || rule === 2) {
			map[i] = map[up] < 0 ? map[up] : -1;
			continue;
		}
		if (thread && model.flags[original] & FLAG_THREAD && original !== thread) {
			map[i] = -2;
			continue;
		}
		const f = canonical ? canonical[original] : original;
		if (!bare) {
			map[i] = rule ? map[up] : table.child(map[up], f);
			continue;
		}
		const kind = model.kind[original];
		python[i] = python[up] || (kind === KIND_PYTHON ? 1 : 0);
		bare[i] = rule || kind === KIND_NATIVE ? bare[up] : table.child(bare[up], f);
		map[i] = python[i] ? bare[i] : rule ? map[up] : table.child(map[up], f);
	}
	hideNameless(model, map, table);
	return { parent: table.parent, frame: table.frame, count: table.count, map };
}

/* Stacks of which no frame is shown get one that says so; frame number model.frames stands for
 * it. Nothing may be lost from the picture unnoticed. */
function hideNameless(model, map, table) {
	let hidden = 0;
	for (const view of model.views) {
		for (let k = 0; k < view.node.length; k++) {
			const i = view.node[k];
			if (i > 0 && map[i] === 0) {
				hidden = hidden || table.child(0, model.frames);
				map[i] = hidden;
			}
		}
	}
}

/* What all trees have. Of two captures `sides` has what each node has in the new one and in the base. */
class AnyTree {
	/* New, base and the change of a node; by the measure shown unless said. */
	change(node, column = this.value === this.blocks ? 'blocks' : 'bytes') {
		const after = this.sides[0][column][node], before = this.sides[1][column][node];
		return { after, before, change: after - before };
	}
	path(node) {
		const path = [];
		for (let i = node; i > 0; i = this.parent[i])
			path.push(i);
		return path.reverse();
	}
}

/* A tree with the values of one view. Children are sorted when they are first asked for. */
class Tree extends AnyTree {
	/* values: those of the view, or of a range of time in it. */
	constructor(model, nodes, view, values = model.views[view]) {
		super();
		this.model = model;
		this.nodes = nodes;
		this.parent = nodes.parent;
		this.frame = nodes.frame;
		this.count = nodes.count;
		this.view = view;
		this.addValues(values);
		if (model.diff)
			this.sides = [0, 1].map((v) => this.totalsOf(model.views[v]));
		this.linkChildren();
	}
	addValues(v) {
		this.hiddenBytes = 0;
		const map = this.nodes.map;
		if (map)
			for (let k = 0; k < v.node.length; k++)
				this.hiddenBytes += map[v.node[k]] === -1 ? v.bytes[k] : 0;
		Object.assign(this, this.totalsOf(v));
	}
	/* What each node has in a view, itself and with all it calls, by both measures. */
	totalsOf(v) {
		/* Fields of `this` in locals: a million turns are twice as fast. */
		const map = this.nodes.map, { parent, count } = this;
		const selfBytes = new Float64Array(count), selfBlocks = new Float64Array(count);
		for (let k = 0; k < v.node.length; k++) {
			const i = map ? map[v.node[k]] : v.node[k];
			if (i >= 0) {
				selfBytes[i] += v.bytes[k];
				selfBlocks[i] += v.count[k];
			}
		}
		const bytes = selfBytes.slice(), blocks = selfBlocks.slice();
		for (let i = count - 1; i > 0; i--) {
			bytes[parent[i]] += bytes[i];
			blocks[parent[i]] += blocks[i];
		}
		return { bytes, blocks, selfBytes, selfBlocks };
	}
	/* Whether a stack ends here: of two captures, in either. */
	endsAt(i) {
		return this.selfBlocks[i] > 0 || this.selfBytes[i] > 0 ||
			this.sides !== undefined && this.sides.some((side) => side.selfBlocks[i] > 0 || side.selfBytes[i] > 0);
	}
	isThere(i) {
		return this.blocks[i] > 0 || this.bytes[i] > 0 ||
			this.sides !== undefined && this.sides.some((side) => side.blocks[i] > 0 || side.bytes[i] > 0);
	}
	linkChildren() {
		const n = this.count, parent = this.parent;
		const start = this.start = new Int32Array(n + 1);
		for (let i = 1; i < n; i++)
			start[parent[i] + 1]++;
		for (let i = 0; i < n; i++)
			start[i + 1] += start[i];
		const next = start.slice(0, n), list = this.list = new Int32Array(Math.max(0, n - 1));
		for (let i = 1; i < n; i++)
			list[next[parent[i]]++] = i;
		this.sorted = new Uint8Array(n);
	}
	setMetric(byCount) {
		this.value = byCount ? this.blocks : this.bytes;
		this.self = byCount ? this.selfBlocks : this.selfBytes;
		this.sorted.fill(0);
	}
	/* Children of a node, largest first: an array to be read only. */
	children(node) {
		const from = this.start[node], to = this.start[node + 1];
		const list = this.list.subarray(from, to);
		if (!this.sorted[node]) {
			this.sorted[node] = 1;
			if (to - from > 1) {
				const value = this.value;
				list.sort((a, b) => value[b] - value[a] || a - b);
			}
		}
		return list;
	}
	/* What a search finds: mark(node) has bit 4 for a match, 2 for one on it or above it, 1 for one
	 * on it or below it; value is that of the stacks with a match, each counted once. */
	match(frameMatches) {
		const n = this.count, marks = new Uint8Array(n);
		let value = 0, matches = 0;
		for (let i = 1; i < n; i++) {
			const own = frameMatches[this.frame[i]], above = marks[this.parent[i]] & 2;
			if (own && !above)
				value += this.value[i];
			if (own && this.value[i] > 0)
				matches++;
			marks[i] = own ? 6 : above;
		}
		for (let i = n - 1; i > 0; i--)
			if (marks[i] & 5)
				marks[this.parent[i]] |= 1;
		return { mark: (node) => marks[node], value, matches };
	}
}

/* A tree over another one whose nodes get their children when they are first asked for; its arrays
 * grow. */
class GrowingTree extends AnyTree {
	constructor(tree) {
		super();
		this.base = tree;
		this.model = tree.model;
		this.view = tree.view;
		this.hiddenBytes = tree.hiddenBytes;
		this.parent = [];
		this.frame = [];
		this.bytes = [];
		this.blocks = [];
		this.selfBytes = [];
		this.selfBlocks = [];
		this.sides = tree.sides && tree.sides.map(() => ({ bytes: [], blocks: [] }));
		this.kids = [];
		this.sorted = [];
	}
	get count() {
		return this.parent.length;
	}
	setMetric(byCount) {
		this.base.setMetric(byCount);
		this.value = byCount ? this.blocks : this.bytes;
		this.self = byCount ? this.selfBlocks : this.selfBytes;
		this.sorted = [];
	}
	add(parent, frame) {
		this.parent.push(parent);
		this.frame.push(frame);
		for (const column of [this.bytes, this.blocks, this.selfBytes, this.selfBlocks])
			column.push(0);
		for (const side of this.sides || []) {
			side.bytes.push(0);
			side.blocks.push(0);
		}
		this.kids.push(null);
		return this.parent.length - 1;
	}
	/* To a node's values those of a node of the whole tree, with all it calls. */
	addTotals(node, from) {
		const { base } = this;
		this.bytes[node] += base.bytes[from];
		this.blocks[node] += base.blocks[from];
		for (const [k, side] of (this.sides || []).entries()) {
			side.bytes[node] += base.sides[k].bytes[from];
			side.blocks[node] += base.sides[k].blocks[from];
		}
	}
	addSelf(node, from) {
		this.selfBytes[node] += this.base.selfBytes[from];
		this.selfBlocks[node] += this.base.selfBlocks[from];
	}
	order(list) {
		return list.sort((a, b) => this.value[b] - this.value[a] || a - b);
	}
	children(node) {
		this.kids[node] ||= this.grow(node);
		if (!this.sorted[node]) {
			this.sorted[node] = true;
			this.order(this.kids[node]);
		}
		return this.kids[node];
	}
}

/* The same stacks from the leaf: roots are the functions that allocate, below them their callers.
 * All of it would be larger than the file by the depth of the stacks, so a node gets its children
 * when they are first asked for: only what is wide enough to be seen ever exists. */
class InvertedTree extends GrowingTree {
	constructor(tree) {
		super(tree);
		const leaves = [];
		for (let i = 1; i < tree.count; i++)
			if (tree.endsAt(i))
				leaves.push(i);
		/* Stacks that pass through a node: the leaf, and how far up the node stands. */
		this.stacks = [];
		this.add(0, 0);
		this.stacks[0] = { leaf: leaves, at: leaves };
		this.addTotals(0, 0);
		this.addSelf(0, 0);
		this.setMetric(tree.value === tree.blocks);
	}
	add(parent, frame) {
		this.stacks.push({ leaf: [], at: [] });
		return super.add(parent, frame);
	}
	/* Of a stack what its leaf has itself. */
	addStack(node, leaf) {
		const { base } = this;
		this.bytes[node] += base.selfBytes[leaf];
		this.blocks[node] += base.selfBlocks[leaf];
		for (const [k, side] of (this.sides || []).entries()) {
			side.bytes[node] += base.sides[k].selfBytes[leaf];
			side.blocks[node] += base.sides[k].selfBlocks[leaf];
		}
	}
	grow(node) {
		const { base } = this, { leaf, at } = this.stacks[node], byFrame = new Map();
		for (let k = 0; k < leaf.length; k++) {
			const frame = base.frame[at[k]], up = base.parent[at[k]];
			let child = byFrame.get(frame);
			if (child === undefined)
				byFrame.set(frame, child = this.add(node, frame));
			this.addStack(child, leaf[k]);
			if (up > 0) {
				this.stacks[child].leaf.push(leaf[k]);
				this.stacks[child].at.push(up);
			} else {
				this.addSelf(child, leaf[k]);
			}
		}
		this.stacks[node] = null;
		return [...byFrame.values()];
	}
	match(frameMatches) {
		const found = this.base.match(frameMatches), marks = [0];
		const mark = (node) => {
			/* A loop: callers can be ten thousand deep. */
			const open = [];
			for (let i = node; marks[i] === undefined; i = this.parent[i])
				open.push(i);
			while (open.length) {
				const i = open.pop();
				marks[i] = frameMatches[this.frame[i]] ? 6 : marks[this.parent[i]] & 2;
			}
			return marks[node];
		};
		return { mark, value: found.value, matches: found.matches };
	}
}

/* One function: what it calls, merged over all its places, and who calls it. Of a recursion the
 * outermost call counts. Nodes get their children when they are first asked for; node 0 is the
 * function, callees have their own children, callers their callers. */
class SandwichTree extends GrowingTree {
	constructor(tree, frames) {
		super(tree);
		this.hiddenBytes = 0;
		this.inside = new Uint8Array(tree.count);	/* 1: the function or below it */
		const top = [];
		for (let i = 1; i < tree.count; i++) {
			this.inside[i] = this.inside[tree.parent[i]] | frames[tree.frame[i]];
			if (this.inside[i] && !this.inside[tree.parent[i]] && tree.isThere(i))
				top.push(i);
		}
		this.caller = [];
		/* Of a callee the nodes it stands for; of a caller also the function's node below each. */
		this.of = [];
		this.add(0, top.length ? tree.frame[top[0]] : 0, false);
		for (const i of top)
			this.addNode(0, i, i);
		this.callers = null;
		this.setMetric(tree.value === tree.blocks);
	}
	add(parent, frame, caller) {
		this.caller.push(caller);
		this.of.push({ at: [], from: [] });
		return super.add(parent, frame);
	}
	/* The node stands for another one of the whole tree: a callee's own values are of `at`, all that
	 * counts for it is of `from`. */
	addNode(node, at, from) {
		this.of[node].at.push(at);
		this.of[node].from.push(from);
		this.addTotals(node, from);
		if (!this.caller[node])
			this.addSelf(node, at);
	}
	child(byFrame, parent, caller, at, from) {
		const frame = this.base.frame[at];
		let node = byFrame.get(frame);
		if (node === undefined)
			byFrame.set(frame, node = this.add(parent, frame, caller));
		this.addNode(node, at, from);
	}
	grow(node, callers = this.caller[node]) {
		const { base } = this, { at, from } = this.of[node], byFrame = new Map();
		for (let k = 0; k < at.length; k++) {
			if (callers) {
				if (base.parent[at[k]] > 0)
					this.child(byFrame, node, true, base.parent[at[k]], from[k]);
				continue;
			}
			for (const child of base.children(at[k]))
				this.child(byFrame, node, false, child, child);
		}
		return [...byFrame.values()];
	}
	/* The function's own callers; those of a caller are its children. */
	topCallers() {
		this.callers ||= this.grow(0, true);
		return this.order(this.callers);
	}
	match(frameMatches) {
		const { base } = this, above = new Uint8Array(base.count);
		let value = 0, matches = 0;
		for (let i = 1; i < base.count; i++) {
			above[i] = above[base.parent[i]] | frameMatches[base.frame[i]];
			if (above[i] && this.inside[i]) {
				value += base.self[i];
				matches++;
			}
		}
		return { mark: (node) => frameMatches[this.frame[node]] ? 6 : 0, value, matches };
	}
	/* In order of calls, with the function itself. */
	path(node) {
		const path = super.path(node);
		return this.caller[node] ? [...path.reverse(), 0] : [0, ...path];
	}
}

/* The frames that are calls of the same function as this one, on whatever line. */
function functionFrames(model, frame) {
	const frames = new Uint8Array(model.frames + 1);
	for (let i = 1; i < model.frames; i++)
		frames[i] = model.fn[i] === model.fn[frame] && model.file[i] === model.file[frame] &&
			model.module[i] === model.module[frame] && model.kind[i] === model.kind[frame] ? 1 : 0;
	return frames;
}

/* The node of another choice of frames that stands for the same node of the file. */
function sameNode(from, to, node) {
	const original = from.map ? from.map.indexOf(node, 1) : node;
	return original < 0 ? 0 : to.map ? Math.max(0, to.map[original]) : original;
}

/* The node of a tree that stands for a path of frames, root to leaf, as far as there is one. */
function findPath(tree, frames) {
	let node = 0;
	for (const frame of frames) {
		for (const child of tree.children(node)) {
			if (tree.frame[child] === frame && tree.value[child] > 0) {
				node = child;
				break;
			}
		}
	}
	return node;
}

/* Frames whose function, file or module has the text; /.../ is a regular expression. Null when
 * the expression is not valid. */
function matchFrames(model, query) {
	let test;
	const expression = /^\/(.+)\/i?$/.exec(query);
	if (expression) {
		try {
			const pattern = new RegExp(expression[1], 'i');
			test = (text) => pattern.test(text);
		} catch {
			return null;
		}
	} else {
		const wanted = query.toLowerCase();
		test = (text) => text.toLowerCase().includes(wanted);
	}
	const hits = new Uint8Array(model.strings.length), frames = new Uint8Array(model.frames + 1);
	for (let i = 0; i < hits.length; i++)
		hits[i] = test(model.strings[i]) ? 1 : 0;
	hits[0] = 0;
	for (let i = 1; i < model.frames; i++)
		frames[i] = hits[model.fn[i]] | hits[model.file[i]] | hits[model.module[i]];
	return frames;
}
