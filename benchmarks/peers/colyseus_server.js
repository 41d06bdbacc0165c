// The smallest world on Colyseus: every room's state has beacons, and a message changes the text of one.
// It prints its port, and ends with its standard input. PATCH_MS is how often changes are sent.
const { createServer } = require("node:http");
const { Server, Room } = require("@colyseus/core");
const { WebSocketTransport } = require("@colyseus/ws-transport");
const { schema, t } = require("@colyseus/schema");

const Beacon = schema({ text: t.string() }, "Beacon");
const World = schema({ beacons: t.map(Beacon) }, "World");
const BEACONS = 100;

class Sector extends Room {
  onCreate() {
    this.maxClients = 20000;
    this.autoDispose = false;
    this.patchRate = Number(process.env.PATCH_MS ?? 50);
    this.maxMessagesPerSecond = Infinity;
    const world = new World();
    for (let slot = 0; slot < BEACONS; slot++) {
      const beacon = new Beacon();
      beacon.text = "";
      world.beacons.set(String(slot).padStart(2, "0"), beacon);
    }
    this.state = world;
    this.onMessage("mark", (client, message) => {
      this.state.beacons.get(message.slot).text = message.text;
    });
  }
}

const http = createServer();
const transport = new WebSocketTransport({ server: http, perMessageDeflate: false, pingInterval: 0 });
const server = new Server({ transport, greet: false });
server.define("sector", Sector).filterBy(["number"]);
server.listen(0, "127.0.0.1", 4096).then(() => console.log(http.address().port));
process.stdin.resume().on("end", () => process.exit(0));
