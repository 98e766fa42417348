// SPDX-License-Identifier: Apache-2.0
// tests/unwind/targets/busy.js - JIT code, builtins and native code called from both.
const zlib = require('zlib');
const crypto = require('crypto');
function deep(n) { return n ? deep(n - 1) + 1 : JSON.stringify({ a: [1, 2, 3] }).length; }
function round() {
	zlib.deflateSync(Buffer.alloc(5000, 'abc'));
	crypto.createHash('sha256').update('x'.repeat(100)).digest();
	[...Array(200).keys()].sort((a, b) => b - a).map((x) => 'n' + x).join()
		.replace(/n(\d)/g, (m, d) => d + m);
	deep(50);
	try { JSON.parse('{"a": ['); } catch (e) { e.stack.length; }
	setImmediate(round);
}
round();
