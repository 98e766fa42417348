/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/test_clients.mjs - what `transform` writes, in the viewers that it is written for.
 * Knows: speedscope's release and valgrind's dh_view.html, as their users see them. Does not know: the
 * formats. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { in_folder, main, memtrace, open, test } from './browser.mjs';

const PROGRAM = `
import os
kept = []
def holds(): kept.append(bytearray(3000000))
def holds_less(): kept.append(bytearray(1000000))
def passes(): return len(bytearray(2000000))
holds(); holds_less()
for i in range(5): passes()
os._exit(0)
`;

let made = false;
function capture() {
	if (!made) {
		writeFileSync(in_folder('program.py'), PROGRAM);
		memtrace('run', '-q', '-f', '-o', 'raw.bin', '--', '/usr/bin/python3', 'program.py');
		memtrace('symbolize', 'raw.bin', '-o', 'cap.bin');
		made = true;
	}
	return 'cap.bin';
}

function transform(format, name, ...options) {
	memtrace('transform', '-f', '-o', name, format, capture(), ...options);
	return in_folder(name);
}

/* Bytes of the stacks with a function, and of all. */
function folded(view, name) {
	let all = 0, part = 0;
	for (const line of memtrace('transform', 'folded', '--view', view, capture()).trim().split('\n')) {
		const at = line.lastIndexOf(' '), value = Number(line.slice(at + 1));
		all += value;
		if (line.slice(0, at).split(';').some((frame) => frame.startsWith(`${name} (`)))
			part += value;
	}
	return { all, part };
}

/* ---- speedscope ---- */

/* As its own command starts it: a script beside the profile, and the release from its file. */
async function speedscope(path) {
	const name = path.split('/').at(-1), base64 = readFileSync(path).toString('base64');
	writeFileSync(`${path}.js`, `speedscope.loadFileFromBase64(${JSON.stringify(name)}, ${JSON.stringify(base64)})`);
	const url = new URL('node_modules/speedscope/dist/release/index.html', import.meta.url);
	assert.ok(existsSync(fileURLToPath(url)), 'npm ci was not run');
	const page = await open({ url: `${url}` }, { foreign: true, viewport: { width: 1600, height: 3000 } }, `#localProfilePath=${path}.js`);
	await page.waitForFunction(() => document.body.textContent.includes('Sandwich'));
	await page.keyboard.press('3');
	await page.waitForFunction(() => document.querySelectorAll('tr').length > 3);
	await page.getByRole('cell', { name: 'Total', exact: true }).click();	/* its list has what is in sight */
	return page;
}

/* Percent of the total that a function has in its table, which may say ">99". */
const share_of = (page, name) => page.evaluate((wanted) => {
	for (const tr of document.querySelectorAll('tr')) {
		const cells = [...tr.querySelectorAll('td')].map((td) => td.textContent.trim());
		if (cells.length >= 3 && cells[2].split(' ')[0] === wanted)
			return Number(/\(([<>]?)([\d.]+)%\)/.exec(cells[0])[2]);
	}
	return null;
}, name);

for (const [format, file, options] of [['speedscope', 'cap.speedscope.json', []], ['pprof', 'cap.pb.gz', []], ['folded', 'cap.folded', []]]) {
	test(`speedscope shows ${format}`, async () => {
		const page = await speedscope(transform(format, file, ...options));
		for (const name of ['holds', 'holds_less']) {
			const { all, part } = folded('peak', name), share = await share_of(page, name);
			assert.ok(share !== null, `${name} is not there: ${(await page.locator('tr').allTextContents()).slice(0, 20).join(' / ')}`);
			assert.ok(Math.abs(share - part / all * 100) <= 0.6, `${name}: ${share} for ${part / all * 100}`);
		}
	});
}

/* ---- DHAT ---- */

test("valgrind's viewer shows dhat", async () => {
	const viewer = '/usr/libexec/valgrind/dh_view.html';
	assert.ok(existsSync(viewer), 'valgrind is not installed');
	const page = await open({ url: `file://${viewer}` }, { foreign: true });
	await page.setInputFiles('input[type=file]', transform('dhat', 'cap.dhat.json'));
	await page.waitForFunction(() => document.body.textContent.includes('significance threshold'));
	await page.selectOption('select', { label: 'Total (bytes)' });
	const text = await page.locator('body').textContent(), stats = JSON.parse(memtrace('stats', '--json', capture()));
	const number = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');
	const wanted = [['Total:', stats.total_bytes_allocated, stats.total_num_allocations],
		['At t-gmax:', stats.metadata.peak_memory, stats.metadata.peak_count],
		['At t-end:', stats.metadata.leaked_bytes, stats.metadata.leaked_count]];
	for (const [label, bytes, blocks] of wanted)
		assert.ok(new RegExp(`${label} +${number(bytes)} bytes \\(100%[^)]*\\) in ${number(blocks)} blocks`).test(text),
			`${label} ${bytes} ${blocks} in ${text.slice(0, 2000)}`);
	for (const pattern of [/Command: .*program\.py/, /holds \([^)]*program\.py:4\)/])
		assert.ok(pattern.test(text), `${pattern} in ${text.slice(0, 4000)}`);
	assert.equal(await page.locator('.error').count(), 0);
});

await main(['--use-angle=swiftshader', '--enable-unsafe-swiftshader']);
