/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/test_table.mjs - the table page in a real browser, from a file.
 * Knows: what a reader sees and presses. Does not know: how captures are made. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { in_folder, main, memtrace, open, test } from './browser.mjs';

const NAMES = ['</script><script>window.bad=1</script>', 'quo"te,comma', '\u202egnp.exe', 'L'.repeat(3000)];
const PROGRAM = `
import threading, os
kept, codes = [], []
def template():
    kept.append(bytearray(300000))
for name in ${JSON.stringify(NAMES)}:
    more = {"co_qualname": name} if hasattr(template.__code__, "co_qualname") else {}
    codes.append(template.__code__.replace(co_name=name, **more))
for code in codes:
    exec(code, globals())
thread = threading.Thread(target=template); thread.start(); thread.join()
os._exit(0)
`;

let stats;
const page_of = (...options) => {
	if (!stats) {
		writeFileSync(in_folder('names.py'), PROGRAM);
		memtrace('run', '-q', '-o', 'raw.bin', '--', '/usr/bin/python3', 'names.py');
		memtrace('symbolize', 'raw.bin', '-o', 'names.bin');
		stats = JSON.parse(memtrace('stats', '--json', 'names.bin'));
	}
	const path = memtrace('table', '-f', 'names.bin', ...options).trim();
	assert.equal(path, 'memtrace-table-names.html');
	return { url: `file://${in_folder(path)}` };
};
const rows = (page) => page.evaluate(() => [...document.querySelectorAll('#scroll .row')].map(
	(row) => [...row.children].map((c) => c.textContent)));

test('numbers are those of stats', async () => {
	for (const [view, bytes, count] of [['peak', 'peak_memory', 'peak_count'], ['leaks', 'leaked_bytes', 'leaked_count']]) {
		for (const split of [[], ['--split-threads']]) {
			const page = await open(page_of('--view', view, ...split));
			assert.deepEqual(await page.evaluate(() => table.totals()),
				{ size: stats.metadata[bytes], blocks: stats.metadata[count] });
			assert.equal(await page.evaluate(() => table.threads), split.length > 0);
		}
	}
});

test('sorts, filters and tells what is left', async () => {
	const page = await open(page_of('--leaks'));
	assert.match((await rows(page))[0][3], /./);
	const sizes = () => page.evaluate(() => [...table.shown].map((i) => table.size[i]));
	const down = await sizes();
	assert.deepEqual(down, [...down].sort((a, b) => b - a));
	await page.click('[data-column="size"]');
	assert.deepEqual(await sizes(), [...down].reverse().sort((a, b) => a - b));
	assert.equal(await page.locator('[role="columnheader"]').first().getAttribute('aria-sort'), 'ascending');
	await page.click('[data-column="place"]');
	const places = (await rows(page)).map((r) => r[3]);
	assert.deepEqual(places, [...places].sort());
	await page.keyboard.press('/');
	await page.keyboard.type('TEMPLATE');
	const left = await rows(page);
	assert.equal(left.length, 1);
	assert.match(left[0][3], /^template:.*names\.py:5$/);
	assert.match(await page.locator('#shown').textContent(), /^1 of \d+ rows: 293 KiB in 1 allocations$/);
	await page.fill('#filter', 'nothing has this name');
	assert.deepEqual(await rows(page), []);
});

test('hostile names are text', async () => {
	const page = await open(page_of('--leaks'));
	const texts = (await rows(page)).map((r) => r[3]);
	assert.ok(texts.some((t) => t.startsWith(NAMES[0])));
	assert.ok(texts.some((t) => t.startsWith('\\u202egnp.exe')));
	assert.equal(await page.evaluate(() => window.bad), undefined);
	const plain = await open(page_of('--leaks'), { javaScriptEnabled: false });
	assert.match(await plain.locator('#plain').innerText(), /<\/script><script>window\.bad/);
	assert.ok(await plain.locator('noscript').isVisible());
});

test('a narrow window has room for places', async () => {
	for (const split of [[], ['--split-threads']]) {
		const page = await open(page_of('--leaks', ...split), { viewport: { width: 390, height: 800 } });
		assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
		const place = page.locator('#scroll .row').first().locator(':scope > *').last();
		assert.ok((await place.boundingBox()).width > 100, split.join());
		const boxes = await page.evaluate(() => ['filter', 'csv'].map((id) => document.getElementById(id).getBoundingClientRect().height));
		assert.ok(boxes.every((height) => height < 40), `${boxes}`);
	}
});

test('saves as CSV what is shown', async () => {
	const page = await open(page_of('--leaks'));
	await page.fill('#filter', 'quo');
	const waiting = page.waitForEvent('download');
	await page.click('#csv');
	const text = readFileSync(await (await waiting).path(), 'utf8');
	assert.match(text, /^size,blocks,allocator,place\n\d+,1,"\w+","quo""te,comma:.*names\.py:\d+"\n$/);
});

test('an empty capture and a cut one', async () => {
	page_of();
	const data = readFileSync(in_folder('names.bin'));
	writeFileSync(in_folder('names-cut.bin'), data.subarray(0, data.length * 0.6));
	const path = memtrace('table', '-f', 'names-cut.bin').trim();
	await open({ url: `file://${in_folder(path)}` });
	memtrace('run', '-q', '-o', 'nothing.bin', '--', '/bin/true');
	const nothing = await open({ url: `file://${in_folder(memtrace('table', 'nothing.bin', '--leaks').trim())}` });
	assert.match(await nothing.locator('#shown').textContent(), /^\d+ of \d+ rows/);
	assert.throws(() => memtrace('table', 'nothing.bin'), /exists.*\n.*-f/);
	assert.throws(() => memtrace('table', 'nothing.bin', '-o', '/dev/full'), /No space left on device/);
});

test('a million rows scroll to the last', async () => {
	const page = await open(page_of('--leaks'));
	const last = await page.evaluate(() => {
		const n = 1e6;
		table.count = n;
		table.size = Float64Array.from({ length: n }, (_, i) => i);
		table.blocks = new Float64Array(n).fill(1);
		for (const column of ['allocator', 'thread', 'place'])
			table[column] = new Uint32Array(n);
		table.filter('');
		refresh(table);
		$('scroll').scrollTop = 1e9;
		drawRows(table);
		return [...document.querySelectorAll('#scroll .row')].at(-1).getAttribute('aria-rowindex');
	});
	assert.equal(last, '1000001');
	const visible = await rows(page);
	assert.ok(visible.length > 5 && visible.length < 100, String(visible.length));
	assert.equal(visible.at(-1)[0], '0 B');
});

await main();
