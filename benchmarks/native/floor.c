/* floor: the least a server can do for the workloads. It upgrades whoever asks, and checks nothing.
 *
 *   floor joined|each     prints its port and serves until its standard input ends
 *
 * GET /room/7 listens in room 7. GET /publish sends messages that begin with the room's four digits; each goes to every
 * member of that room, and `joined` writes what one turn of the loop has brought for a room once per member, `each`
 * writes every message by itself. GET /echo gets back what it sends, all of one read in one write. Linux only: epoll. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_FILES = 65536, MOST_ROOMS = 1024, INPUT = 1 << 16, DIGITS = 4 };
typedef enum { NEW, MEMBER, PUBLISHER, ECHO } Role;
typedef struct { Role role; int room; size_t size; char input[INPUT]; } Client;
typedef struct { int *members, count, space; char *due; size_t size, room; } Room;

static Client *clients[MOST_FILES];
static Room rooms[MOST_ROOMS];
static int changed[MOST_ROOMS], changed_count, is_joined, epoll_fd;
static const char UPGRADED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void put(int fd, const char *data, size_t size) {
  if (send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size) shutdown(fd, SHUT_RDWR);
}
static void flush_room(Room *room) {
  for (int i = 0; i < room->count; i++) put(room->members[i], room->due, room->size);
  room->size = 0;
}
static size_t put_head(char *to, uint8_t opcode, size_t size) {
  to[0] = (char)(0x80 | opcode);
  if (size < 126) {
    to[1] = (char)size;
    return 2;
  }
  to[1] = 126;
  to[2] = (char)(size >> 8);
  to[3] = (char)size;
  return 4;
}
static void publish(uint8_t opcode, const char *payload, size_t size) {
  char digits[DIGITS + 1] = {0};
  if (size < DIGITS) return;
  memcpy(digits, payload, DIGITS);
  int number = atoi(digits) % MOST_ROOMS;
  Room *room = &rooms[number];
  if (room->size + size + 16 > room->room) room->due = realloc(room->due, room->room = 2 * (room->room + size + 16));
  if (!room->size) changed[changed_count++] = number;
  room->size += put_head(room->due + room->size, opcode, size - DIGITS);
  memcpy(room->due + room->size, payload + DIGITS, size - DIGITS);
  room->size += size - DIGITS;
  if (!is_joined) {
    flush_room(room);
    changed_count = 0;
  }
}
static void join(int fd, Client *client, int number) {
  Room *room = &rooms[client->room = number % MOST_ROOMS];
  if (room->count == room->space) room->members = realloc(room->members, (size_t)(room->space = 2 * room->space + 16) * sizeof(int));
  room->members[room->count++] = fd;
}
static void leave(int fd, Client *client) {
  Room *room = &rooms[client->room];
  for (int i = 0; client->role == MEMBER && i < room->count; i++)
    if (room->members[i] == fd) {
      room->members[i] = room->members[--room->count];
      break;
    }
  close(fd);
  free(client);
  clients[fd] = NULL;
}
static void upgrade(int fd, Client *client) {
  if (!memmem(client->input, client->size, "\r\n\r\n", 4)) return;
  put(fd, UPGRADED, sizeof UPGRADED - 1);
  client->size = 0;
  if (!strncmp(client->input, "GET /room/", 10)) {
    client->role = MEMBER;
    join(fd, client, atoi(client->input + 10));
  } else {
    client->role = strncmp(client->input, "GET /publish", 12) ? ECHO : PUBLISHER;
  }
}
static void take_frames(int fd, Client *client) {
  static char out[2 * INPUT];
  size_t at = 0, out_size = 0;
  while (client->size - at >= 6) {
    char *head = client->input + at;
    size_t size = head[1] & 127, start = 6;
    if (size == 126) {
      if (client->size - at < 8) break;
      size = (size_t)(uint8_t)head[2] << 8 | (uint8_t)head[3];
      start = 8;
    }
    if (client->size - at < start + size) break;
    char *key = head + start - 4, *payload = head + start;
    for (size_t i = 0; i < size; i++) payload[i] ^= key[i & 3];
    if (client->role == PUBLISHER) publish(head[0] & 15, payload, size);
    if (client->role == ECHO) {
      out_size += put_head(out + out_size, head[0] & 15, size);
      memcpy(out + out_size, payload, size);
      out_size += size;
    }
    at += start + size;
  }
  if (out_size) put(fd, out, out_size);
  memmove(client->input, client->input + at, client->size -= at);
}
static void data_received(int fd) {
  Client *client = clients[fd];
  ssize_t got = recv(fd, client->input + client->size, sizeof client->input - client->size, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return leave(fd, client);
  client->size += (size_t)got;
  if (client->role == NEW) upgrade(fd, client);
  else take_frames(fd, client);
}
static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= MOST_FILES) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    clients[fd] = calloc(1, sizeof(Client));
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}
int main(int count, char **words) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  struct epoll_event events[512], event = {.events = EPOLLIN};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  is_joined = count < 2 || strcmp(words[1], "each");
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) || getsockname(listener, (struct sockaddr *)&address, &size)) {
    perror("floor");
    return 1;
  }
  epoll_fd = epoll_create1(0);
  event.data.fd = listener;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  event.data.fd = STDIN_FILENO;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int ready = epoll_wait(epoll_fd, events, 512, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) return 0;
      if (fd == listener) accept_all(listener);
      else if (clients[fd]) data_received(fd);
    }
    for (int i = 0; i < changed_count; i++) flush_room(&rooms[changed[i]]);
    changed_count = 0;
  }
}
