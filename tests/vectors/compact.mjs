// A decoder of gameserver.v1.compact, written from docs/protocol.md alone and without dependencies: run with Node, it
// decodes every vector of compact.json and compares.
import { readFileSync } from "node:fs";
import { deepStrictEqual } from "node:assert";

const TYPES = ["welcome", "snapshot", "delta", "lost", "signal", "verify", "command_ack", "error", "left", "quality", "refreshed", "pong", "goodbye"];
const PRIORITIES = ["system", "combat", "trade", "movement", "chat", "cosmetic"];

// -- MessagePack ------------------------------------------------------------------------------------------

function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  const take = (size) => (offset += size) - size;
  const text = (size) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(take(size), offset));
  const binary = (size) => bytes.slice(take(size), offset);
  const array = (size) => Array.from({ length: size }, value);
  const map = (size) => {
    const read = {};
    for (let place = 0; place < size; place++) {
      const key = value();
      read[key] = value();
    }
    return read;
  };
  const unsigned = [(at) => view.getUint8(at), (at) => view.getUint16(at), (at) => view.getUint32(at), (at) => Number(view.getBigUint64(at))];
  const signed = [(at) => view.getInt8(at), (at) => view.getInt16(at), (at) => view.getInt32(at), (at) => Number(view.getBigInt64(at))];
  const size = (power) => unsigned[power](take(1 << power));

  function value() {
    const head = bytes[take(1)];
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 0x0f);
    if (head < 0xa0) return array(head & 0x0f);
    if (head < 0xc0) return text(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    if (head === 0xc0) return null;
    if (head === 0xc2 || head === 0xc3) return head === 0xc3;
    if (head >= 0xc4 && head <= 0xc6) return binary(size(head - 0xc4));
    if (head === 0xca) return view.getFloat32(take(4));
    if (head === 0xcb) return view.getFloat64(take(8));
    if (head >= 0xcc && head <= 0xcf) return size(head - 0xcc);
    if (head >= 0xd0 && head <= 0xd3) return signed[head - 0xd0](take(1 << (head - 0xd0)));
    if (head >= 0xd9 && head <= 0xdb) return text(size(head - 0xd9));
    if (head === 0xdc || head === 0xdd) return array(size(head - 0xdb));
    if (head === 0xde || head === 0xdf) return map(size(head - 0xdd));
    throw new Error(`no MessagePack: ${head.toString(16)}`);
  }

  const read = value();
  if (offset !== bytes.length) throw new Error(`${bytes.length - offset} bytes too many`);
  return read;
}

// -- Compact ----------------------------------------------------------------------------------------------

function byUtf8(one, other) {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

function isMap(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

class Reader {
  // `hello`: the positions that the client said hello with, room to [epoch, seq].
  constructor(hello) {
    this.rooms = new Map();
    this.latest = new Map(Object.entries(hello).map(([room, position]) => [room, position[1]]));
    this.kinds = [];
    this.base = 0;
  }

  read(bytes) {
    const [first, ...rest] = unpack(bytes);
    if (first >= 32) return this.shortDelta(first, rest);
    const type = TYPES[first];
    if (isMap(rest[0])) return { type, ...(type === "welcome" ? this.welcome(rest[0]) : rest[0]) };
    switch (type) {
      case "snapshot": {
        const [handle, room, epoch, seq, sum, ...groups] = rest;
        if (handle !== null) this.rooms.set(handle, room);
        this.latest.set(room, seq);
        return { type, room, epoch, seq, state: this.body(groups, seq).set, sum };
      }
      case "delta": {
        const [room, seq, prev, partial, watermark, ...body] = rest;
        return this.delta(this.room(room), prev, seq, partial, watermark, body);
      }
      case "signal": {
        const [room, key, data, ...from] = rest;
        return { type, room: this.room(room), key, data, ...(from.length ? { from: from[0] } : {}) };
      }
      case "verify": {
        const [room, epoch, seq, sum] = rest;
        return { type, room: this.room(room), epoch, seq, sum };
      }
      case "command_ack":
        return { type, id: rest[0], ok: true, seq: rest[1] };
      case "pong":
        return { type, at: rest[0], now: rest[1] };
    }
    throw new Error(`no form of ${type}`);
  }

  welcome({ base, handles, ...content }) {
    this.base = base;
    for (const [room, handle] of Object.entries(handles ?? {})) this.rooms.set(handle, room);
    this.kinds = Object.keys(content.schema).sort(byUtf8).map((name) => ({
      name,
      fields: Object.keys(content.schema[name]).sort(byUtf8).map((field) => ({
        name: field,
        packed: ["f32", "f32?"].includes(content.schema[name][field]),
      })),
    }));
    return content;
  }

  room(named) {
    if (typeof named === "string") return named;
    if (!this.rooms.has(named)) throw new Error(`no room has the handle ${named}`);
    return this.rooms.get(named);
  }

  shortDelta(handle, [n, ...body]) {
    const room = this.room(handle);
    const latest = this.latest.get(room);
    const seq = latest + (((n % 128) - (latest % 128) + 128) % 128);
    return this.delta(room, seq - 1 - Math.floor(n / 128), seq, null, null, body);
  }

  delta(room, prev, seq, partial, watermark, body) {
    this.latest.set(room, seq);
    const { del, set, events } = this.body(body, seq);
    const message = { type: "delta", room, prev, seq };
    if (del.length) message.del = del;
    if (Object.keys(set).length) message.set = set;
    if (events.length) message.events = events;
    if (partial !== null) message.partial = partial;
    if (watermark !== null) message.watermark = watermark;
    return message;
  }

  body(items, seq) {
    const read = { del: [], set: {}, events: [] };
    const left = items[Symbol.iterator]();
    const next = () => left.next().value;
    for (let first = left.next(); !first.done; first = left.next()) {
      if (first.value === null) {
        const kind = this.kind(next());
        read.del.push(...[next()].flat().map((id) => entity(kind, id)));
      } else if (Array.isArray(first.value)) {
        read.events.push(this.event(first.value, seq));
      } else {
        this.group(this.kind(first.value), next(), next(), next, read.set);
      }
    }
    return read;
  }

  kind(named) {
    return typeof named === "string" ? { name: named, fields: [] } : this.kinds[named];
  }

  group(kind, fields, ids, next, set) {
    const listed = Array.isArray(fields);
    const chosen = listed ? [] : kind.fields.filter((_, place) => place < 31 && (fields >>> place) & 1);
    const packed = chosen.filter((field) => field.packed).map((field) => field.name);
    const plain = listed ? fields : chosen.filter((field) => !field.packed).map((field) => field.name);
    const one = !Array.isArray(ids);
    const entities = [ids].flat().map((id) => (set[entity(kind, id)] = {}));
    if (packed.length) {
      const bin = next();
      const numbers = new DataView(bin.buffer, bin.byteOffset, bin.byteLength);
      packed.forEach((name, column) =>
        entities.forEach((fields, row) => (fields[name] = numbers.getFloat32(4 * (column * entities.length + row), true))),
      );
    }
    for (const name of plain) {
      const column = next();
      entities.forEach((fields, row) => (fields[name] = one ? column : column[row]));
    }
  }

  event([name, data, at, priority, from = null, index = 0, back = 0], seq) {
    const event = { name, data, seq: seq - back, index, at: this.base + at, priority: PRIORITIES[priority] };
    return from === null ? event : { ...event, from };
  }
}

function entity(kind, id) {
  return id === null ? kind.name : `${kind.name}:${id}`;
}

// -- The vectors ------------------------------------------------------------------------------------------

function plain(value) {
  // JSON has no binary: it stands there as in gameserver.v1.json. And in JSON -0 is 0.
  if (value instanceof Uint8Array) return { $bin: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(plain);
  if (isMap(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}

function unordered(message) {
  return message.del === undefined ? message : { ...message, del: [...message.del].sort() };
}

const connections = JSON.parse(readFileSync(new URL("compact.json", import.meta.url)));
let count = 0;
for (const { name, hello, messages } of connections) {
  const reader = new Reader(hello ?? {});
  for (const { encoded, message } of messages) {
    const read = plain(reader.read(new Uint8Array(Buffer.from(encoded, "hex"))));
    deepStrictEqual(unordered(read), unordered(message), `${name}: ${encoded}`);
    count++;
  }
}
console.log(`${count} messages`);
