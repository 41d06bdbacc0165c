// The smallest room server on `ws`: it prints its port, and ends with its standard input.
//   /room/7 listens in room 7; /publish sends messages that begin with the room's four digits; /echo gets answers.
const { createServer } = require("node:http");
const { WebSocket, WebSocketServer } = require("ws");

const rooms = new Map();
const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const [, role, room] = request.url.split("/");
  if (role === "room") {
    if (!rooms.has(room)) rooms.set(room, new Set());
    rooms.get(room).add(socket);
    socket.on("close", () => rooms.get(room).delete(socket));
  } else if (role === "publish") {
    socket.on("message", (data, binary) => {
      const members = rooms.get(String(Number(data.toString("latin1", 0, 4)))) ?? [];
      const payload = data.subarray(4);
      for (const member of members) if (member.readyState === WebSocket.OPEN) member.send(payload, { binary });
    });
  } else {
    socket.on("message", (data) => {
      const command = JSON.parse(data);
      const fits = Number.isInteger(command.what) && Number.isInteger(command.by);
      socket.send(JSON.stringify({ type: "command_ack", id: command.id, ok: fits }));
    });
  }
});
http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(http.address().port));
process.stdin.resume().on("end", () => process.exit(0));
