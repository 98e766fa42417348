/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/draw.js - from a tree to rectangles, and from rectangles to pixels.
 * Knows: trees, the canvas, colours. Does not know: controls, the address bar.
 * Called by report.js; calls model.js. */

const ROW = 20;			/* CSS pixels */
const LEAST = 1;		/* narrower frames are drawn together with their smaller siblings */

/* ---- layout ---- */

/* Rectangles by row, left to right. Row 0 is the root; above the zoomed frame there are only its
 * ancestors, as wide as the picture. A rectangle's node is negative for "smaller frames": then
 * it is -1 - parent. */
class Layout {
	constructor(tree, zoom, width) {
		this.tree = tree;
		this.zoom = zoom;
		this.width = width;
		this.x = [];
		this.w = [];
		this.node = [];
		this.first = new Map();		/* rectangle of smaller frames -> first child in it */
		this.middle = -1;		/* the rectangle of a sandwich's function */
		this.row = [0];			/* index of each row's first rectangle, and the end */
		const path = tree.path(zoom);
		this.zoomRow = this.fadedRows = path.length;
		for (const node of zoom ? [0, ...path] : [0]) {
			this.put(0, width, node);
			this.row.push(this.node.length);
		}
		this.scale = tree.value[zoom] > 0 ? width / tree.value[zoom] : 0;
		for (let from = this.node.length - 1; from < this.node.length && this.scale > 0;) {
			const to = this.node.length;
			for (let i = from; i < to; i++)
				if (this.node[i] >= 0)
					this.putChildren(i);
			if (this.node.length === to)
				break;
			this.row.push(this.node.length);
			from = to;
		}
		this.rows = this.row.length - 1;
	}
	put(x, w, node) {
		this.x.push(x);
		this.w.push(w);
		this.node.push(node);
	}
	putChildren(i) {
		const tree = this.tree, parent = this.node[i];
		this.putList(this.x[i], tree.children(parent), parent, tree.value[parent] - tree.self[parent]);
	}
	/* Nodes side by side from x on, largest first; their values add up to `left`. */
	putList(x, children, parent, left) {
		const { value } = this.tree, { scale } = this;
		for (let k = 0; k < children.length && left > 0; k++) {
			const v = value[children[k]], w = v * scale;
			if (w < LEAST) {
				/* Sorted: all that follow are smaller still. */
				if (left * scale >= LEAST / 2) {
					this.first.set(this.node.length, k);
					this.put(x, left * scale, -1 - parent);
				}
				return;
			}
			this.put(x, w, children[k]);
			x += w;
			left -= v;
		}
	}
	/* The rectangle at x in a row, -1 for none. */
	find(row, x) {
		if (row < 0 || row >= this.rows)
			return -1;
		let low = this.row[row], high = this.row[row + 1] - 1;
		while (low < high) {
			const middle = low + high + 1 >> 1;
			if (this.x[middle] <= x)
				low = middle;
			else
				high = middle - 1;
		}
		return x >= this.x[low] && x < this.x[low] + this.w[low] ? low : -1;
	}
	rowOf(rectangle) {
		let low = 0, high = this.rows - 1;
		while (low < high) {
			const middle = low + high + 1 >> 1;
			if (this.row[middle] <= rectangle)
				low = middle;
			else
				high = middle - 1;
		}
		return low;
	}
	/* The rectangle of a node in a row; -1 when it is too small to have one. */
	rectangleOf(node, row) {
		for (let i = this.row[row]; i < this.row[row + 1]; i++)
			if (this.node[i] === node)
				return i;
		return -1;
	}
	smallerList(rectangle) {
		return this.tree.children(-1 - this.node[rectangle]);
	}
	/* How many frames a rectangle of smaller frames stands for, and their value. */
	smaller(rectangle) {
		const tree = this.tree, children = this.smallerList(rectangle);
		let count = 0, bytes = 0, blocks = 0;
		for (let k = this.first.get(rectangle); k < children.length; k++) {
			if (tree.value[children[k]] > 0)
				count++;
			bytes += tree.bytes[children[k]];
			blocks += tree.blocks[children[k]];
		}
		return { count, bytes, blocks };
	}
}

/* A function in the middle, above it its callers (the nearest one right above it), below it what it
 * calls. */
class SandwichLayout extends Layout {
	constructor(tree, width) {
		super(tree, 0, width);		/* the function and below */
		const below = { x: this.x, w: this.w, node: this.node, first: this.first, row: this.row };
		this.x = [];
		this.w = [];
		this.node = [];
		this.first = new Map();
		const rows = this.callerRows(), parts = [];
		this.row = [0];
		let at = 0;
		for (const row of rows.reverse()) {
			parts.push(row);
			this.row.push(at += row.length);
		}
		const order = parts.flat(), above = { x: this.x, w: this.w, node: this.node, first: this.first };
		const moved = new Map(order.map((i, k) => [i, k]));
		this.x = [...order.map((i) => above.x[i]), ...below.x];
		this.w = [...order.map((i) => above.w[i]), ...below.w];
		this.node = [...order.map((i) => above.node[i]), ...below.node];
		this.first = new Map([...above.first].map(([i, k]) => [moved.get(i), k]));
		for (const [i, k] of below.first)
			this.first.set(i + at, k);
		for (const end of below.row.slice(1))
			this.row.push(end + at);
		this.zoomRow = rows.length;
		this.middle = at;
		this.fadedRows = 0;
		this.rows = this.row.length - 1;
	}
	/* Rectangles of callers, nearest row first, as numbers into this.x and so on. */
	callerRows() {
		const rows = [], { tree } = this;
		let open = [{ x: 0, list: tree.topCallers(), parent: 0 }];
		while (open.length && this.scale > 0) {
			const row = [], next = [];
			for (const { x, list, parent } of open) {
				const before = this.node.length;
				this.putList(x, list, parent, list.reduce((sum, node) => sum + tree.value[node], 0));
				for (let i = before; i < this.node.length; i++) {
					row.push(i);
					if (this.node[i] >= 0)
						next.push({ x: this.x[i], list: tree.children(this.node[i]), parent: this.node[i] });
				}
			}
			if (row.length)
				rows.push(row);
			open = next;
		}
		return rows;
	}
	smallerList(rectangle) {
		const caller = rectangle < this.row[this.zoomRow], parent = -1 - this.node[rectangle];
		return caller && parent === 0 ? this.tree.topCallers() : this.tree.children(parent);
	}
}

/* ---- colours ---- */

/* OKLCH to linear sRGB: equal lightness looks equal, so text stays legible on every frame. */
function oklch(l, c, h) {
	const a = c * Math.cos(h * Math.PI / 180), b = c * Math.sin(h * Math.PI / 180);
	const x = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
	const y = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
	const z = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
	return [4.0767416621 * x - 3.3077115913 * y + 0.2309699292 * z,
		-1.2684380046 * x + 2.6097574011 * y - 0.3413193965 * z,
		-0.0041960863 * x - 0.7034186147 * y + 1.707614701 * z].map((v) => {
		const s = v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055;
		return Math.max(0, Math.min(255, Math.round(s * 255)));
	});
}

function mixed(a, b, share) {
	return a.map((v, i) => Math.round(v + (b[i] - v) * share));
}

function css(rgb) {
	return `rgb(${rgb.join(' ')})`;
}

const CHANGES = 5;		/* steps from the same to all the difference */
const SHADES = 12;		/* colours of a family */

const THEMES = {
	light: { paper: [255, 255, 255], ink: '#15181c', soft: 'rgb(21 24 28 / 0.62)',
		light: 0.875, chroma: 0.062, gray: 0.91, match: oklch(0.77, 0.145, 345),
		hover: 'rgb(0 0 0 / 0.10)', focus: '#15181c', line: 'rgb(0 0 0 / 0.07)' },
	dark: { dark: true, paper: [23, 26, 30], ink: '#f2f4f6', soft: 'rgb(242 244 246 / 0.62)',
		light: 0.43, chroma: 0.068, gray: 0.345, match: oklch(0.56, 0.165, 350),
		hover: 'rgb(255 255 255 / 0.12)', focus: '#ffffff', line: 'rgb(255 255 255 / 0.06)' },
};

/* Families: 0 Python, 1 native, 2 interpreter and allocator, 3 marks. Colours of a family differ
 * by module. `faded` is for what a search does not match and for ancestors of a zoomed frame. */
class Palette {
	constructor(name) {
		const theme = this.theme = THEMES[name];
		this.plain = [];
		this.faded = [];
		for (let family = 0; family < 4; family++) {
			for (let shade = 0; shade < SHADES; shade++) {
				const t = shade / (SHADES - 1), wave = (shade * 5 % SHADES) / (SHADES - 1) - 0.5;
				const rgb = family === 0 ? oklch(theme.light + wave * 0.05, theme.chroma, 248 + t * 38) :
					family === 1 ? oklch(theme.light + wave * 0.05, theme.chroma * 1.1, 54 + t * 36) :
					oklch(theme.gray + wave * 0.04, 0.006, 250);
				this.plain.push(css(rgb));
				this.faded.push(css(mixed(rgb, theme.paper, 0.68)));
			}
		}
		/* From less (blue) over the same to more (orange): told apart by all kinds of colour blindness. */
		this.change = [];
		for (let step = -CHANGES; step <= CHANGES; step++) {
			const part = Math.abs(step) / CHANGES, hue = step < 0 ? 250 : 62;
			this.change.push(css(oklch(theme.gray - (theme.dark ? -0.12 : 0.16) * part, step ? 0.03 + 0.1 * part : 0.004, hue)));
		}
		this.match = css(theme.match);
		this.root = css(oklch(theme.gray, 0.006, 250));
		this.rest = css(mixed(oklch(theme.gray, 0.01, 250), theme.paper, 0.35));
		this.restMatch = css(mixed(theme.match, theme.paper, 0.35));
	}
}

const RUNTIME = /^(libc[.-]|libpthread|ld-linux|ld-musl|libstdc\+\+|libgcc_s|libjemalloc|libtcmalloc|libmimalloc|libpython|python[23])/;

function hashText(text) {
	let h = 2166136261;
	for (let i = 0; i < text.length; i++)
		h = Math.imul(h ^ text.charCodeAt(i), 16777619);
	return (h ^ h >>> 15) >>> 0;
}

/* Index into the palette's colours for each frame. */
function frameColours(model) {
	const colours = new Uint8Array(model.frames + 1).fill(3 * SHADES);
	for (let i = 1; i < model.frames; i++) {
		const module = model.strings[model.module[i]], file = model.strings[model.file[i]];
		const family = model.kind[i] === KIND_MARK ? 3 :
			model.flags[i] & FLAG_INTERPRETER || RUNTIME.test(module) ? 2 :
			model.kind[i] === KIND_PYTHON ? 0 : 1;
		const key = family === 0 ? file : module || file;
		colours[i] = family * SHADES + hashText(key) % SHADES;
	}
	return colours;
}

/* ---- labels ---- */

/* Without template arguments and parameters: the name is what has to be read. */
function shortName(name) {
	if (name.length > 2000)
		name = name.slice(0, 2000);
	if (/[<(]/.test(name) && !name.startsWith('<') && !name.includes('operator')) {
		let depth = 0, out = '';
		for (const c of name) {
			if (c === '<' && depth++ === 0)
				out += '<…>';
			else if (c === '>' && depth > 0)
				depth--;
			else if (depth === 0)
				out += c;
		}
		if (depth === 0)
			name = out.replace(/\([^()]*\)( const)?( \[clone [^\]]*\])*$/, '') || out;
	}
	return name;
}

class Labels {
	constructor(model, context) {
		this.model = model;
		this.context = context;
		this.widths = new Map();
		this.names = new Map();
	}
	width(text) {
		let width = this.widths.get(text);
		if (width === undefined) {
			if (this.widths.size > 50000)
				this.widths.clear();
			width = this.context.measureText(text).width;
			this.widths.set(text, width);
		}
		return width;
	}
	/* As much of the text as fits, with an ellipsis; "" when not even some characters do. */
	fit(text, room) {
		if (text.length > 500)
			text = text.slice(0, 500);
		const whole = this.width(text);
		if (whole <= room)
			return text;
		let keep = Math.floor(text.length * room / whole);
		for (; keep > 3; keep--) {
			const cut = text.slice(0, keep - 1) + '…';
			if (this.context.measureText(cut).width <= room)
				return cut;
		}
		return '';
	}
	name(frame) {
		let name = this.names.get(frame);
		if (name === undefined) {
			name = frame >= this.model.frames ? 'frames not shown' :
				this.model.kind[frame] === KIND_NATIVE ? shortName(this.model.functionName(frame)) :
				this.model.functionName(frame);
			this.names.set(frame, name);
		}
		return name;
	}
}

/* ---- painting ---- */

class Painter {
	constructor(canvas, model) {
		this.canvas = canvas;
		this.context = canvas.getContext('2d', { alpha: false });
		this.model = model;
		this.colours = frameColours(model);
		this.labels = new Labels(model, this.context);
		this.palettes = { light: new Palette('light'), dark: new Palette('dark') };
	}
	resize(width, height, ratio) {
		this.width = width;
		this.height = height;
		this.ratio = ratio;
		this.canvas.width = Math.max(1, Math.round(width * ratio));
		this.canvas.height = Math.max(1, Math.round(height * ratio));
	}
	/* scene: layout, flame (root at the bottom), scroll, mark (of a search, by node) or null, theme,
	 * hover and focus (rectangles, -1: none), rootLabel. */
	paint(scene) {
		const { layout } = scene, c = this.context;
		const palette = this.palette = this.palettes[scene.theme];
		this.scene = scene;
		c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
		c.fillStyle = css(palette.theme.paper);
		c.fillRect(0, 0, this.width, this.height);
		c.font = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
		c.textBaseline = 'middle';
		c.direction = 'ltr';
		const [from, to] = this.visibleRows(layout, scene);
		for (let row = from; row <= to; row++) {
			const y = this.rowY(row);
			for (let i = layout.row[row]; i < layout.row[row + 1]; i++)
				this.paintFrame(i, row, y);
		}
		if (layout.middle >= 0)
			this.paintOutline(layout.middle, palette.match, false);
		this.paintOutline(scene.hover, palette.theme.hover, true);
		this.paintOutline(scene.focus, palette.theme.focus, false);
	}
	visibleRows(layout, scene) {
		const a = Math.floor(scene.scroll / ROW), b = Math.ceil((scene.scroll + this.height) / ROW);
		const last = layout.rows - 1;
		return scene.flame ? [Math.max(0, scene.total - b), Math.min(last, scene.total - a)] :
			[Math.max(0, a), Math.min(last, b)];
	}
	/* total: rows that fit into the whole picture, at least those that are there. */
	rowY(row) {
		const { flame, scroll, total } = this.scene;
		return (flame ? total - 1 - row : row) * ROW - scroll;
	}
	edge(x) {
		return Math.round(x * this.ratio) / this.ratio;
	}
	paintFrame(i, row, y) {
		const { layout } = this.scene, c = this.context, palette = this.palette;
		const node = layout.node[i], x0 = this.edge(layout.x[i]);
		const x1 = this.edge(layout.x[i] + layout.w[i]), w = Math.max(x1 - x0, 1 / this.ratio);
		const gap = w > 3 ? 1 : 0;
		if (node < 0) {
			c.fillStyle = this.restMatches(i) ? palette.restMatch : palette.rest;
			c.fillRect(x0, y, w - gap, ROW - 1);
			if (w > 90)
				this.paintText(`${countText(layout.smaller(i).count)} smaller frames`, '', x0, y, w, true);
			return;
		}
		/* In a search what hangs on a match stays plain: together that is the matched share. */
		const frame = layout.tree.frame[node], mark = this.scene.mark ? this.scene.mark(node) : 2;
		const faded = !(mark & 6) || row < layout.fadedRows && !this.scene.mark;
		const changed = layout.tree.sides && layout.tree.change(node);
		c.fillStyle = mark & 4 ? palette.match : changed ? this.changeColour(changed) : node === 0 ? palette.root :
			(faded ? palette.faded : palette.plain)[this.colours[frame]];
		c.fillRect(x0, y, w - gap, ROW - 1);
		if (w < 30)
			return;
		if (node === 0)
			this.paintText(this.scene.rootLabel, '', x0, y, w, false);
		else
			this.paintText(this.labels.name(frame), changed ? this.changeText(changed) : frame < this.model.frames ?
				this.model.place(frame, true) : '', x0, y, w, !(mark & 6));
	}
	changeColour({ after, before, change }) {
		const share = change === 0 ? 0 : change / Math.max(after, before);
		return this.palette.change[CHANGES + Math.sign(share) * Math.ceil(Math.abs(share) * CHANGES)];
	}
	changeText({ change }) {
		return signedText(change, this.scene.count ? countText : sizeText);
	}
	restMatches(i) {
		if (!this.scene.mark)
			return false;
		const { layout } = this.scene, children = layout.smallerList(i);
		for (let k = layout.first.get(i); k < children.length; k++)
			if (this.scene.mark(children[k]) & 5)
				return true;
		return false;
	}
	paintText(name, place, x, y, w, soft) {
		const c = this.context, theme = this.palette.theme, room = w - 9;
		const text = this.labels.fit(name, room);
		if (!text)
			return;
		c.fillStyle = soft ? theme.soft : theme.ink;
		c.fillText(text, x + 4, y + ROW / 2);
		const used = this.labels.width(text) + 8;
		if (!place || text !== name || room - used < 36)
			return;
		const rest = this.labels.fit(place, room - used);
		c.fillStyle = theme.soft;
		if (rest)
			c.fillText(rest, x + 4 + used, y + ROW / 2);
	}
	paintOutline(i, colour, filled) {
		const { layout } = this.scene, c = this.context;
		if (i < 0 || i >= layout.node.length)
			return;
		const y = this.rowY(layout.rowOf(i)), x = this.edge(layout.x[i]);
		const w = Math.max(this.edge(layout.x[i] + layout.w[i]) - x - 1, 2);
		if (filled) {
			c.fillStyle = colour;
			c.fillRect(x, y, w, ROW - 1);
			return;
		}
		c.strokeStyle = colour;
		c.lineWidth = 2;
		c.strokeRect(x + 1, y + 1, Math.max(w - 2, 1), ROW - 3);
	}
}
