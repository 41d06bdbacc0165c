// The smallest room server on Socket.IO, WebSocket transport alone: it prints its port, and ends with its standard input.
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false, pingInterval: 300000 });

io.on("connection", (socket) => {
  socket.on("join", (room, done) => {
    socket.join(room);
    done("joined");
  });
  socket.on("publish", (room, payload) => io.to(room).emit("message", payload));
  socket.on("nothing", (command, done) => {
    const fits = Number.isInteger(command.what) && Number.isInteger(command.by);
    done({ id: command.id, ok: fits });
  });
});
http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => console.log(http.address().port));
process.stdin.resume().on("end", () => process.exit(0));
