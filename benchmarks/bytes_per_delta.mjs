// What Colyseus and socket.io send for the changes that bytes_per_delta.py writes to standard input: their bytes, in hex.
// Run in a directory where @colyseus/schema and socket.io-parser are installed.
import { Encoder, schema, t } from "@colyseus/schema";
import { Encoder as PacketEncoder, PacketType } from "socket.io-parser";

const Ship = schema({ x: t.float32(), y: t.float32(), drones: t.number(), shield: t.number() });
const Port = schema({ stock: t.number(), price: t.number() });
const Player = schema({ cargo: t.number(), credits: t.number() });
const Sector = schema({ ship: t.map(Ship), port: t.map(Port), player: t.map(Player) });
const KINDS = { ship: Ship, port: Port, player: Player };

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { state, changes } = JSON.parse(input);

function place(entity) {
  const colon = entity.indexOf(":");
  return [entity.slice(0, colon), entity.slice(colon + 1)];
}

function colyseus(change) {
  const room = new Sector();
  for (const [entity, fields] of Object.entries(state)) {
    const [kind, id] = place(entity);
    const thing = new KINDS[kind]();
    Object.assign(thing, fields);
    room[kind].set(id, thing);
  }
  const encoder = new Encoder(room);
  encoder.encodeAll();
  encoder.discardChanges();
  for (const [entity, fields] of Object.entries(change)) {
    const [kind, id] = place(entity);
    Object.assign(room[kind].get(id), fields);
  }
  return Buffer.from(encoder.encode()).toString("hex");
}

function socketio(message) {
  const [packet] = new PacketEncoder().encode({ type: PacketType.EVENT, nsp: "/", data: ["delta", message] });
  // Before it, Engine.IO's type of a message.
  return Buffer.from("4" + packet).toString("hex");
}

const answer = {};
for (const [name, { set, message }] of Object.entries(changes)) {
  answer[name] = { colyseus: colyseus(set), socketio: socketio(message) };
}
console.log(JSON.stringify(answer));
