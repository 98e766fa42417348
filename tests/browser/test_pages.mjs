/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/test_pages.mjs - the pages of leaks and diff in a real browser, from a file.
 * Knows: what a reader sees and presses. Does not know: how captures are made. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { axe_complaints, in_folder, main, memtrace, open, test } from './browser.mjs';

const NAME = '</script><img src=x onerror=window.bad=1>';

/* Grows, shrinks and stays; one function has a hostile name. */
const program = (leak, cache) => `
import time
kept = []
def leak(): kept.append(bytearray(${leak}))
def cache(): return [bytearray(5000) for _ in range(${cache})]
def stays(): return bytearray(300000)
def hostile(): kept.append(bytearray(90000))
more = {"co_qualname": ${JSON.stringify(NAME)}} if hasattr(hostile.__code__, "co_qualname") else {}
hostile.__code__ = hostile.__code__.replace(co_name=${JSON.stringify(NAME)}, **more)
c, s = cache(), stays()
hostile()
for _ in range(60):
    leak()
    time.sleep(0.01)
import os
os._exit(0)
`;

const made = {};
function capture(name, leak, cache, lines = 0) {
	if (!made[name]) {
		mkdirSync(in_folder(name));
		writeFileSync(in_folder(`${name}/service.py`), '\n'.repeat(lines) + program(leak, cache));
		memtrace('run', '-q', '-f', '-o', `${name}.bin`, '--', '/usr/bin/python3', `${name}/service.py`);
		memtrace('symbolize', `${name}.bin`);
		made[name] = true;
	}
	return `${name}.bin`;
}

const page_of = (...args) => {
	const path = memtrace(...args).trim();
	return { url: `file://${in_folder(path)}` };
};

/* ---- leaks ---- */

test('the leaks page has the sites of leaks --json, in their order, without a script', async () => {
	const file = page_of('leaks', '--html', '-f', capture('base', 40000, 300));
	const json = JSON.parse(memtrace('leaks', '--json', '-n', '0', 'base.bin'));
	const page = await open(file, { javaScriptEnabled: false });
	const names = await page.locator('.sites h2 bdi').allTextContents();
	assert.deepEqual(names, json.sites.slice(0, 50).map((site) => site.location));
	assert.match(names[0], /^leak:/);
	assert.deepEqual(await page.locator('.sentence').allTextContents(), json.sites.slice(0, 50).map((site) => site.sentence));
	assert.equal(await page.locator('.sites svg .curve').count(), names.length);
	const points = (await page.locator('.sites svg .curve').first().getAttribute('points')).trim().split(' ').map((p) => p.split(',').map(Number));
	assert.equal(points.length, 2 * json.sites[0].live_bytes.length);
	/* The curve of the leak goes up, which is towards 0. */
	assert.ok(points.every(([x, y], i) => !i || (x >= points[i - 1][0] && y <= points[i - 1][1] + 0.01)));
	const blocks = await page.locator('.numbers').allTextContents();
	const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');
	blocks.forEach((text, i) => assert.ok(text.includes(` in ${count(json.sites[i].count)} block`), text));
	assert.ok(names.some((name) => name.startsWith(NAME)));
	assert.equal(await page.locator('img, script').count(), 0);
	/* Stacks open and close. */
	const last = page.locator('details').last();
	assert.equal(await last.getAttribute('open'), names.length > 3 ? null : '');
	await last.locator('summary').click();
	assert.equal(await last.locator('li').first().isVisible(), names.length > 3);
	assert.match(readFileSync(new URL(file.url), 'utf8'), /content="default-src 'none'; style-src 'sha256-[^;]*'; img-src data:; base-uri 'none'; form-action 'none'"/);
});

test('the leaks page has memory over time, as the flame graph has it', async () => {
	const page = await open(page_of('leaks', '--html', '-f', capture('base', 40000, 300)), { javaScriptEnabled: false });
	const graph = await open(page_of('flamegraph', '-f', '-o', 'base-graph.html', 'base.bin'));
	const most = await graph.evaluate(() => [sizeText(highest(report.model.heap)), sizeText(highest(report.model.rss))]);
	const words = await page.locator('.memory figcaption').textContent();
	assert.ok(words.includes(`Heap, at most ${most[0]}`), `${words} ${most}`);
	assert.ok(words.includes(`Resident, at most ${most[1]}`), `${words} ${most}`);
	const points = async (name) => (await page.locator(`.memory svg .${name}`).getAttribute('points')).trim().split(' ').map((p) => p.split(',').map(Number));
	const box = (await page.locator('.memory svg').getAttribute('viewBox')).split(' ').map(Number);
	for (const name of ['curve', 'rss']) {
		const at = await points(name);
		assert.ok(at.every(([x, y], i) => y >= 0 && y <= box[3] && (!i || x >= at[i - 1][0])), name);
		assert.deepEqual([at[0][0], at.at(-1)[0]], [0, box[2]], name);
	}
	/* Its highest moment is where the page of the flame graph has it, and it ends with what is left. */
	const curve = await points('curve'), top = Math.min(...curve.map(([, y]) => y));
	const peak = await graph.evaluate(() => Number(report.model.facts.peak_ns) / report.model.endNs);
	const where = curve.findIndex(([, y]) => y === top);
	assert.ok(curve.some(([x, y]) => y === top && Math.abs(x / box[2] - peak) < 0.02), `${where} ${peak}`);
	assert.match(words, /^0 s.* s$|^0 s.* ms$/s);
});

test('the leaks page of the oldest, of few and of nothing', async () => {
	const few = await open(page_of('leaks', '--html', '-f', '-n', '1', '-o', 'few.html', capture('base', 40000, 300)));
	assert.equal(await few.locator('.sites h2').count(), 1);
	assert.match(await few.locator('.more').last().textContent(), /^\d+ more; -n shows more$/);
	const old = await open(page_of('leaks', '--html', '-f', '--older-than', '1h', '-o', 'old.html', 'base.bin'));
	assert.match(await old.locator('.sites').textContent(), /Nothing that was recorded is left/);
	assert.match(await old.locator('.total').textContent(), /at least 1h/);
	assert.throws(() => memtrace('leaks', '--html', '--json', 'base.bin'), /one output at a time/);
	assert.throws(() => memtrace('leaks', '--html', '-o', 'few.html', 'base.bin'), /-f/);
});

/* ---- diff ---- */

test('the diff page has what diff --json has', async () => {
	capture('base', 40000, 300);
	const file = page_of('diff', '--html', '-f', 'base.bin', capture('new', 70000, 100, 7));
	assert.match(file.url, /memtrace-diff-new\.html$/);
	const json = JSON.parse(memtrace('diff', '--json', 'base.bin', 'new.bin')), page = await open(file);
	const totals = await page.evaluate(() => report.model.views.map((v) => [v.totalBytes, v.totalCount]));
	assert.deepEqual(totals.slice(0, 2), [[json.new.bytes, json.new.count], [json.base.bytes, json.base.count]]);
	assert.equal(totals[2][0] - totals[3][0], json.new.bytes - json.base.bytes);
	assert.equal(totals[2][1] - totals[3][1], json.new.count - json.base.count);
	assert.deepEqual(await page.locator('#views .name').allTextContents(), ['New', 'Base', 'Grown', 'Shrunk']);
	/* Frames by name, whatever their line: the leak grew by 30,000 a block, what stays did not change. */
	const change = (wanted) => page.evaluate((name) => {
		const { tree, model } = report;
		for (let i = 1; i < tree.count; i++)
			if (tree.frame[i] < model.frames && model.functionName(tree.frame[i]) === name)
				return tree.change(i, 'bytes');
		return null;
	}, wanted);
	const leak = await change('leak'), cache = await change('cache'), stays = await change('stays');
	assert.ok(leak.change > 30000 * 55 && leak.change < 30000 * 65, JSON.stringify(leak));
	assert.ok(cache.change < -900000 && cache.after > 0, JSON.stringify(cache));
	assert.equal(stays.change, 0);
	for (const [k, name] of ['new', 'base', 'grown', 'shrunk'].entries()) {
		await page.keyboard.press(String(k + 1));
		assert.equal(await page.getAttribute(`[data-view=${name}]`, 'aria-checked'), 'true');
		assert.equal(await page.evaluate(() => report.tree.value[0] > 0 && report.layout.rows > 3), true);
	}
	await page.click('#open-sites');
	const rows = await page.locator('#sites tbody tr').evaluateAll((all) => all.map((tr) => [...tr.cells].map((td) => td.textContent)));
	const changed = json.functions.filter((f) => f.base_bytes !== f.new_bytes || f.base_count !== f.new_count);
	assert.deepEqual(rows.map((row) => `${row[0]} at ${row[1]}`), changed.slice(0, 100).map((f) => f.location));
	for (const [i, row] of rows.entries()) {
		const bytes = changed[i].new_bytes - changed[i].base_bytes;
		assert.ok(row[4].startsWith(bytes > 0 ? '+' : bytes < 0 ? '−' : '0'), row.join(' '));
	}
});

/* What both captures have by a path of function names, added up here from the stacks of the page: 'leaf' is
 * every path from the leaf, otherwise the paths below (or, of `callers`, above) the outermost call of
 * a function. */
const sums_of_stacks = (page, wanted) => page.evaluate(({ kind, name }) => {
	const { model } = report, sums = {};
	const add = (path, side, bytes, count) => {
		const sum = sums[path.join('\n')] ||= [0, 0, 0, 0];
		sum[side] += bytes;
		sum[2 + side] += count;
	};
	for (const side of [0, 1]) {
		const view = model.views[side];
		for (let k = 0; k < view.node.length; k++) {
			const stack = [];
			for (let i = view.node[k]; i > 0; i = model.parent[i])
				stack.push(model.functionName(model.frame[i]));
			if (kind !== 'leaf')
				stack.reverse();
			let part = stack;
			if (kind !== 'leaf') {
				const at = stack.indexOf(name);
				if (at < 0)
					continue;
				part = kind === 'callees' ? stack.slice(at) : stack.slice(0, at + 1).reverse();
			}
			for (let n = 1; n <= part.length; n++)
				add(part.slice(0, n), side, view.bytes[k], view.count[k]);
		}
	}
	return sums;
}, wanted);

/* The same of the tree that is shown, all of it. */
const sums_of_tree = (page, kind) => page.evaluate((what) => {
	const { tree, model } = report, sums = {};
	const name = (node) => model.functionName(tree.frame[node]);
	const walk = (node, path) => {
		const bytes = tree.change(node, 'bytes'), blocks = tree.change(node, 'blocks');
		/* Frames differ by more than their name. */
		const sum = sums[path.join('\n')] ||= [0, 0, 0, 0];
		[bytes.after, bytes.before, blocks.after, blocks.before].forEach((v, i) => {
			sum[i] += v;
		});
		for (const child of tree.children(node))
			walk(child, [...path, name(child)]);
	};
	if (what === 'leaf')
		for (const child of tree.children(0))
			walk(child, [name(child)]);
	else if (what === 'callees')
		walk(0, [name(0)]);
	else
		for (const child of tree.topCallers())
			walk(child, [name(0), name(child)]);
	return sums;
}, kind);

const ALL_FRAMES = { native: true, interpreter: true, imports: true, lines: true, threads: true };

test('inverted and around a function, the changes are those of the stacks', async () => {
	const page = await open({ url: `file://${in_folder('memtrace-diff-new.html')}` });
	await page.evaluate((show) => report.change({ show }), ALL_FRAMES);
	await page.keyboard.press('i');
	assert.equal(await page.getAttribute('#invert', 'aria-pressed'), 'true');
	for (const view of ['grown', 'shrunk', 'new']) {
		await page.click(`[data-view=${view}]`);
		assert.deepEqual(await sums_of_tree(page, 'leaf'), await sums_of_stacks(page, { kind: 'leaf' }), view);
		assert.ok(await page.evaluate(() => report.layout.rows > 3));
	}
	await page.keyboard.press('i');
	for (const [view, name] of [['grown', 'leak'], ['shrunk', 'cache'], ['base', 'stays']]) {
		await page.click(`[data-view=${view}]`);
		await page.evaluate((wanted) => {
			const { tree, model } = report;
			report.showFunction(tree.frame.find((frame, i) => i > 0 && frame < model.frames && tree.value[i] > 0 &&
				model.functionName(frame) === wanted));
		}, name);
		assert.equal(await page.getAttribute('#sandwich', 'aria-pressed'), 'true');
		assert.deepEqual(await sums_of_tree(page, 'callees'), await sums_of_stacks(page, { kind: 'callees', name }), name);
		const callers = await sums_of_stacks(page, { kind: 'callers', name });
		delete callers[name];
		assert.deepEqual(await sums_of_tree(page, 'callers'), callers, name);
		assert.match(await page.locator('#status').textContent(), new RegExp(`^Callers and callees of ${name}\\.`));
		await page.keyboard.press('Escape');
		assert.equal(await page.evaluate(() => report.state.sandwich), 0);
	}
});

test('an inverted comparison keeps colours, words, zoom and address', async () => {
	const file = { url: `file://${in_folder('memtrace-diff-new.html')}` };
	const page = await open(file, { colorScheme: 'light' });
	await page.click('#invert');
	const at = await page.evaluate(() => {
		const { layout, tree, model } = report;
		const i = layout.node.findIndex((node) => node > 0 && model.functionName(tree.frame[node]) === 'leak');
		const box = document.getElementById('canvas').getBoundingClientRect();
		return { x: box.left + layout.x[i] + 3, y: box.top + layout.rowOf(i) * ROW + 5 };
	});
	await page.mouse.move(at.x, at.y);
	assert.match(await page.locator('#tip').textContent(), /leak.*Bytes in base.*Bytes in new.*\+1\.\d\d MiB/);
	const [r, , b] = await page.evaluate(({ x, y }) => {
		const canvas = document.getElementById('canvas'), box = canvas.getBoundingClientRect(), { ratio } = report.painter;
		return [...canvas.getContext('2d').getImageData((x - box.left - 2) * ratio, (y - box.top - 2) * ratio, 1, 1).data];
	}, at);
	assert.ok(r > b + 20, `${r} ${b}`);
	await page.mouse.click(at.x, at.y);
	const zoomed = await page.evaluate(() => [location.hash, report.model.functionName(report.tree.frame[report.state.zoom])]);
	assert.equal(zoomed[1], 'leak');
	const again = await open(file, {}, zoomed[0]);
	assert.deepEqual(await again.evaluate(() => [location.hash, report.model.functionName(report.tree.frame[report.state.zoom])]), zoomed);
	assert.equal(await again.getAttribute('#invert', 'aria-pressed'), 'true');
	assert.match(await page.evaluate(() => report.stackText(report.focusAt)), /\nleak \(service\.py\)\n.* \(grown\)\n$/);
});

test('more is orange and less is blue, and both have their sign', async () => {
	const page = await open({ url: `file://${in_folder('memtrace-diff-new.html')}` }, { colorScheme: 'light' });
	const colour = async (name, view) => {
		await page.click(`[data-view=${view}]`);
		return page.evaluate((wanted) => {
			const { layout, tree, model } = report, canvas = document.getElementById('canvas');
			const i = layout.node.findIndex((node) => node > 0 && model.functionName(tree.frame[node]) === wanted);
			const at = canvas.getContext('2d').getImageData((layout.x[i] + 1) * report.painter.ratio,
				(layout.rowOf(i) * ROW + 3 - document.getElementById('scroll').scrollTop) * report.painter.ratio, 1, 1).data;
			return [at[0], at[2], report.painter.changeText(tree.change(layout.node[i])), report.sentence(i)];
		}, name);
	};
	const [r, b, sign, words] = await colour('leak', 'grown');
	assert.ok(r > b + 20, `${r} ${b}`);
	assert.match(sign, /^\+1\.\d\d MiB$/);
	assert.match(words, /; \+1\.\d\d MiB, from .* to /);
	const [r2, b2, sign2] = await colour('cache', 'shrunk');
	assert.ok(b2 > r2 + 20, `${r2} ${b2}`);
	assert.match(sign2, /^−/);
});

test('the diff page without JavaScript, of one capture with itself, by count', async () => {
	const plain = await open({ url: `file://${in_folder('memtrace-diff-new.html')}` }, { javaScriptEnabled: false });
	assert.ok(await plain.locator('#sites tbody tr').count() > 2);
	assert.match(await plain.locator('noscript').textContent(), /Base: .* recorded for .*: .* in .* blocks \(peak\)/);
	const same = await open(page_of('diff', '--html', '-f', '-o', 'same.html', '--metric', 'count', 'base.bin', 'base.bin'));
	assert.equal(await same.evaluate(() => report.tree.value[0]), 0);
	assert.equal(await same.locator('#nothing').textContent(), 'Nothing is more than in the base.');
	assert.equal(await same.evaluate(() => report.state.count), true);
	await same.click('[data-view=new]');
	assert.ok(await same.evaluate(() => report.tree.value[0] > 0 && report.layout.node.every((node) => node < 1 || report.tree.change(node).change === 0)));
});

/* ---- accessibility ---- */

test('axe finds nothing to complain about', async () => {
	for (const name of ['memtrace-leaks-base.html', 'memtrace-diff-new.html'])
		for (const colorScheme of ['light', 'dark']) {
			const page = await open({ url: `file://${in_folder(name)}` }, { colorScheme, bypassCSP: true });
			assert.deepEqual(await axe_complaints(page), [], `${name} ${colorScheme}`);
			if (name.includes('diff')) {
				await page.click('#open-sites');
				assert.deepEqual(await axe_complaints(page), [], `${name} ${colorScheme} table`);
			}
		}
});

await main();
