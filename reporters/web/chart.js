/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/web/chart.js - memory over time: a thumbnail, a chart with axes, its text and its CSV.
 * Knows: the model's points, the canvas. Does not know: controls, trees.
 * Called by report.js and page.js; calls draw.js and model.js. */

const CHART_EDGE = { left: 62, right: 62, top: 8, bottom: 20 };

function chartColours(themeName) {
	const dark = themeName === 'dark';
	return {
		heap: dark ? oklch(0.72, 0.1, 250) : oklch(0.52, 0.12, 250),
		rss: dark ? oklch(0.76, 0.1, 75) : oklch(0.56, 0.12, 60),
		peak: css(dark ? oklch(0.74, 0.16, 350) : oklch(0.58, 0.2, 350)),
		ink: dark ? '#98a2ad' : '#59626d', line: dark ? '#2a3037' : '#dfe3e7',
		veil: dark ? 'rgb(16 19 22 / 0.72)' : 'rgb(246 247 248 / 0.78)',
	};
}

function highest(values) {
	let most = 0;
	for (let i = 0; i < values.length; i++)
		most = Math.max(most, values[i]);
	return most;
}

/* A step of 1, 2 or 5 times a power of ten (of two for sizes), about `n` of them to `most`. */
function chartStep(most, n, base) {
	const least = most / n;
	let unit = 1;
	while (unit * base <= least)
		unit *= base;
	while (base === 10 && unit > least)
		unit /= base;
	for (const k of base === 10 ? [1, 2, 5, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
		if (unit * k >= least)
			return unit * k;
	return unit * base;
}

/* One line of the values: the highest of each pixel, since what comes and goes within one would be
 * a smear. A value holds until the next point. */
function chartLine(c, model, values, x, y, end) {
	const columns = new Map();
	for (let i = 0; i < model.points; i++) {
		const at = Math.round(x(model.time[i]));
		columns.set(at, Math.max(columns.get(at) || 0, values[i]));
	}
	let last = 0;
	c.beginPath();
	for (const [at, value] of columns) {
		c.lineTo(at, y(value));
		last = value;
	}
	c.lineTo(end, y(last));
}

/* The peak of the heap among the instants of a range, or the report's. */
function chartPeak(model, range) {
	if (range)
		return model.peakInstant(range) < 0 ? null : model.instantNs[model.peakInstant(range)];
	return model.facts.peak_ns ? Number(model.facts.peak_ns) : null;
}

/* ---- the thumbnail in the head of the page ---- */

function paintTimeline(canvas, model, themeName, ratio) {
	const width = canvas.clientWidth, height = canvas.clientHeight, c = canvas.getContext('2d');
	const colours = chartColours(themeName), peak = chartPeak(model, null);
	canvas.width = Math.round(width * ratio);
	canvas.height = Math.round(height * ratio);
	c.setTransform(ratio, 0, 0, ratio, 0, 0);
	if (model.points < 2)
		return;
	const end = model.endNs, top = highest(model.heap) || 1;
	const x = (ns) => ns / end * (width - 6) + 3, y = (v) => height - 3 - v / top * (height - 8);
	chartLine(c, model, model.heap, x, y, x(end));
	c.strokeStyle = css(colours.heap);
	c.lineWidth = 1.25;
	c.lineJoin = 'round';
	c.stroke();
	c.lineTo(x(end), height - 3);
	c.lineTo(x(model.time[0]), height - 3);
	c.closePath();
	c.fillStyle = `rgb(${colours.heap.join(' ')} / 0.16)`;
	c.fill();
	if (peak !== null) {
		c.beginPath();
		c.arc(x(peak), y(top), 2.75, 0, 7);
		c.fillStyle = colours.peak;
		c.fill();
	}
}

/* ---- the chart ---- */

class Chart {
	constructor(canvas, model) {
		this.canvas = canvas;
		this.model = model;
		this.mostHeap = highest(model.heap) || 1;
		this.mostRss = highest(model.rss);
		/* A large process that allocates little would press the heap flat on one scale. */
		this.oneScale = this.mostRss <= this.mostHeap * 4;
	}
	x(ns) {
		return CHART_EDGE.left + ns / this.model.endNs * this.inner;
	}
	ns(x) {
		return Math.max(0, Math.min(1, (x - CHART_EDGE.left) / this.inner)) * this.model.endNs;
	}
	y(share) {
		return this.height - CHART_EDGE.bottom - share * (this.height - CHART_EDGE.bottom - CHART_EDGE.top);
	}
	/* range: two instants or null; hover: ns or null. */
	paint(themeName, range, hover, ratio) {
		const { canvas, model } = this, c = canvas.getContext('2d');
		this.width = canvas.clientWidth;
		this.height = canvas.clientHeight;
		this.inner = Math.max(1, this.width - CHART_EDGE.left - CHART_EDGE.right);
		canvas.width = Math.round(this.width * ratio);
		canvas.height = Math.round(this.height * ratio);
		c.setTransform(ratio, 0, 0, ratio, 0, 0);
		c.clearRect(0, 0, this.width, this.height);
		c.font = '11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
		const colours = chartColours(themeName), x = (ns) => this.x(ns), end = x(model.endNs);
		const top = this.oneScale ? Math.max(this.mostHeap, this.mostRss) : this.mostHeap;
		this.paintAxes(c, colours, top);
		chartLine(c, model, model.heap, x, (v) => this.y(v / top), end);
		c.strokeStyle = css(colours.heap);
		c.lineWidth = 1.5;
		c.lineJoin = 'round';
		c.stroke();
		c.lineTo(end, this.y(0));
		c.lineTo(x(model.time[0]), this.y(0));
		c.closePath();
		c.fillStyle = `rgb(${colours.heap.join(' ')} / 0.14)`;
		c.fill();
		if (this.mostRss) {
			chartLine(c, model, model.rss, x, (v) => this.y(v / (this.oneScale ? top : this.mostRss)), end);
			c.setLineDash([5, 3]);
			c.strokeStyle = css(colours.rss);
			c.stroke();
			c.setLineDash([]);
		}
		this.paintRange(c, colours, range);
		this.paintMoment(c, colours, chartPeak(model, range), top, hover);
	}
	paintAxes(c, colours, top) {
		const bottom = this.y(0), step = chartStep(top, 4, 1024), seconds = this.model.endNs / 1e9;
		c.strokeStyle = colours.line;
		c.fillStyle = colours.ink;
		c.lineWidth = 1;
		c.textBaseline = 'middle';
		c.textAlign = 'right';
		for (let v = 0; v <= top; v += step) {
			const y = Math.round(this.y(v / top)) + 0.5;
			c.beginPath();
			c.moveTo(CHART_EDGE.left, y);
			c.lineTo(CHART_EDGE.left + this.inner, y);
			c.stroke();
			c.fillText(sizeText(v), CHART_EDGE.left - 6, y);
		}
		if (!this.oneScale) {
			const other = chartStep(this.mostRss, 4, 1024);
			c.textAlign = 'left';
			c.fillStyle = css(colours.rss);
			for (let v = 0; v <= this.mostRss; v += other)
				c.fillText(sizeText(v), CHART_EDGE.left + this.inner + 6, this.y(v / this.mostRss));
			c.fillStyle = colours.ink;
		}
		const tick = chartStep(seconds, Math.max(2, this.inner / 110), 10);
		c.textAlign = 'center';
		for (let k = 0; k * tick <= seconds; k++)
			c.fillText(durationText(k * tick), this.x(k * tick * 1e9), bottom + 11);
	}
	paintRange(c, colours, range) {
		if (!range)
			return;
		const from = this.x(this.model.rangeNs(range[0])), to = this.x(this.model.rangeNs(range[1]));
		const y = this.y(1) - 2, height = this.y(0) - y;
		c.fillStyle = colours.veil;
		c.fillRect(CHART_EDGE.left, y, from - CHART_EDGE.left, height);
		c.fillRect(to, y, CHART_EDGE.left + this.inner - to, height);
		c.strokeStyle = css(colours.heap);
		c.lineWidth = 1;
		c.strokeRect(Math.round(from) + 0.5, y + 0.5, Math.max(1, Math.round(to - from)), height - 1);
	}
	paintMoment(c, colours, peak, top, hover) {
		if (hover !== null) {
			c.strokeStyle = colours.ink;
			c.lineWidth = 1;
			c.beginPath();
			c.moveTo(Math.round(this.x(hover)) + 0.5, this.y(1));
			c.lineTo(Math.round(this.x(hover)) + 0.5, this.y(0));
			c.stroke();
		}
		if (peak === null)
			return;
		c.beginPath();
		c.arc(this.x(peak), this.y(this.model.pointAt(peak).heap / top), 3.5, 0, 7);
		c.fillStyle = colours.peak;
		c.fill();
	}
}

/* ---- in words and as a file ---- */

function timelineText(model) {
	const last = model.points - 1;
	return `Live bytes over ${durationText(model.endNs / 1e9)}: ${sizeText(model.heap[0])} at first, ` +
		`${sizeText(highest(model.heap))} at the peak, ${sizeText(model.heap[last])} at the end` +
		(model.rss[last] > 0 ? `. Resident in all: ${sizeText(model.rss[last])} at the end` : '');
}

function timelineCsv(model) {
	const lines = ['seconds,heap_bytes,resident_bytes'];
	for (let i = 0; i < model.points; i++)
		lines.push(`${(model.time[i] / 1e9).toFixed(6)},${model.heap[i]},${model.rss[i] || ''}`);
	return `${lines.join('\n')}\n`;
}
