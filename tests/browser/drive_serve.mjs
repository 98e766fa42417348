/* SPDX-License-Identifier: Apache-2.0 */
/* tests/browser/drive_serve.mjs URL PID [SCREENSHOT-FOLDER] - a person at `memtrace serve`: the list, reports, a
 * difference, process PID recorded; and what axe-core says of the server's own pages. Prints what was seen as JSON.
 * Knows: the page's parts. Does not know: the server. Started by tests/e2e/test_serve.py. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { axe_complaints } from './browser.mjs';

const [url, pid, folder] = process.argv.slice(2);
const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
if (!executable)
	process.exit(77);
const browser = await chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 1500, height: 900 } });
const problems = [], seen = { problems };
page.on('pageerror', (e) => problems.push(e.message));
page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
const shot = async (name) => folder && page.screenshot({ path: `${folder}/serve-${name}.png` });
const frame = async () => {
	await page.waitForSelector('#frame[src]:not([hidden])');
	return page.frameLocator('#frame');
};

/* Its pages in both colours; their frames are the reports' own pages, which are looked at elsewhere. */
async function look_for_barriers() {
	const found = [];
	/* In the dark the colours alone differ. */
	for (const [colorScheme, rules] of [['light', {}], ['dark', { runOnly: ['color-contrast'] }]]) {
		const context = await browser.newContext({ bypassCSP: true, colorScheme, viewport: { width: 1300, height: 900 } });
		const p = await context.newPage();
		const look = async (what) => found.push(...(await axe_complaints(p, { iframes: false, ...rules })).map((c) => `${colorScheme} ${what}: ${c}`));
		await p.goto(url);
		await p.waitForSelector('[data-filled]');
		await look('list');
		await p.check('[aria-label="Compare base.bin"]');
		await p.check('[aria-label^="Compare new"]');
		await look('two chosen');
		await p.click('#new');
		await p.waitForSelector('#processes input');
		await look('start');
		await p.click('#start-close');
		await p.click('tr:has-text("base.bin") >> text=Statistics');
		await p.waitForSelector('[data-stats]');
		await look('stats');
		await p.click('#tabs >> text=Table');
		await p.waitForSelector('#frame[src^="/tables/"]:not([hidden])');
		await look('report');
		await p.goto(new URL('/#flamegraphs/nothing.bin', url).href);
		await p.waitForSelector('#problem:not([hidden])');
		await look('problem');
		await context.close();
	}
	return found;
}

try {
	seen.barriers = await look_for_barriers();
	await page.goto(url);
	await page.waitForSelector('[data-filled]');
	seen.url = page.url();		/* the token is gone from it */
	seen.captures = (await page.locator('#captures tbody th').allTextContents()).sort();
	seen.commands = await page.locator('#captures .command').allTextContents();
	await shot('list');
	await page.click('tr:has-text("base.bin") >> text=Flame graph');
	const graph = await frame();
	await graph.locator('#command').waitFor({ state: 'visible' });
	seen.flamegraph = await graph.locator('#views .name').allTextContents();
	await graph.locator('[data-view=leaks]').click();
	seen.view = await graph.locator('[data-view=leaks]').getAttribute('aria-checked');
	await shot('flamegraph');
	await page.click('#tabs >> text=Leaks');
	await page.waitForSelector('#frame[src^="/leaks/"]:not([hidden])');
	seen.leaks = await page.frameLocator('#frame').locator('.sites > li').count();
	await page.click('#tabs >> text=Statistics');
	await page.waitForSelector('[data-stats]');
	seen.stats = await page.locator('#stats caption').allTextContents();
	await shot('stats');
	await page.click('#tabs >> text=Captures');
	await page.waitForSelector('#captures tbody tr');
	await page.check('[aria-label="Compare base.bin"]');
	await page.check('[aria-label^="Compare new"]');
	await page.click('#compare');
	await page.waitForSelector('#frame[src^="/diffs/"]:not([hidden])');
	await page.frameLocator('#frame').locator('#views').waitFor({ state: 'visible' });
	seen.diff = await page.frameLocator('#frame').locator('#views .name').allTextContents();
	await page.click('#home');
	await page.click('#new');
	await page.fill('#processes-filter', pid);
	await page.check(`#processes input[value="${pid}"]`);
	await page.fill('#seconds', '60');
	await shot('start');
	await page.click('#start-form [type=submit]');
	await page.waitForSelector('.recording[data-state=recording]');
	await shot('recording');
	await page.click('.recording button');
	await page.waitForSelector('.recording[data-state=done]');
	seen.recorded = await page.locator('.recording .said').textContent();
	await page.waitForFunction(() => document.querySelectorAll('#captures tbody tr').length > 3);
	await shot('done');
} catch (error) {
	problems.push(String(error));
} finally {
	await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
