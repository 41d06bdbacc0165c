/* load: many WebSocket connections, told by a script on standard input what to say; figures as lines of JSON.
 *
 * It knows no protocol but RFC 6455's frames. What a server wants to hear stands in the script (benchmarks/script.py
 * writes it), and what is measured stands in the payloads, whatever encoding is around it:
 *
 *   @T: and 16 hex digits   when a message was due, CLOCK_MONOTONIC nanoseconds; every one received is a delivery
 *   @I: and 8 hex digits    a command's id; every one received is an answer
 *
 * Messages that are due at fixed times are measured from there, not from when they could be sent. Times are counted in
 * buckets that grow by 1/64, so a quantile is right to within 1.6 %. Linux only: epoll.
 *
 * Keys of frames are zero: the server has the same work to undo them, and frames can be filled in where they lie. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_STEPS = 8, MOST_REPLIES = 4, MOST_GROUPS = 8, MOST_ARGUMENTS = 4, MOST_MARKS = 4, MOST_PROCESSES = 8 };
enum { AT_ONCE = 64, DUE_RING = 1 << 20, READ_SIZE = 1 << 18, SLOW_BYTES = 256, SLOW_SEGMENT = 88, SLOW_BUFFER = 4096 };
enum { SUB_BUCKETS = 64, BUCKETS = 64 * SUB_BUCKETS };
#define SECOND 1000000000ull
#define SLOW_PERIOD (SECOND / 10)

typedef struct { char *data; size_t size; } Text;
typedef struct { uint64_t counts[BUCKETS], total, most; } Histogram;
typedef enum { CLOSED, CONNECTING, UPGRADING, JOINING, READY } State;
typedef struct { int is_send, opcode; Text text; } Step;
typedef struct { Text begins, answer; int opcode; } Reply;
typedef struct {
  char name[32];
  Text request, accepted;
  Step steps[MOST_STEPS];
  Reply replies[MOST_REPLIES];
  int step_count, reply_count, is_slow, first, count;
  double churn; /* leaves and joins a second; half of the connections are open then */
} Group;
typedef struct {
  int fd, step, in_flight;
  State state;
  Group *group;
  Text arguments[MOST_ARGUMENTS];
  char *in, *out, *frame; /* `frame` is the message of this phase, ready to be filled in */
  size_t in_size, in_room, out_size, out_room, frame_size;
  size_t stamps[MOST_MARKS], ids[MOST_MARKS], turns[MOST_MARKS];
  int stamp_count, id_count, turn_count;
  uint32_t turn;
} Connection;
typedef struct { char name[32]; int pids[16], count; } Processes;
typedef struct { uint64_t delivered, delivered_slowly, sent, accepted, refused, bytes, frames, lost, joined; double own_cpu, cpu[MOST_PROCESSES]; uint64_t at; } Counts;

static int port, epoll_fd, at_once = AT_ONCE, turns = 100;
static size_t stride = 20;
static double settle = 0.5;
static Group groups[MOST_GROUPS];
static Processes processes[MOST_PROCESSES];
static int group_count, process_count;
static Connection *connections;
static int connection_count, connection_room;
static Counts now_counts;
static Histogram deliveries, answers, lateness;
static uint64_t due_of[DUE_RING], measured_from = UINT64_MAX, in_flight;
static uint32_t next_id;
static int joining, ready_count, may_lose, refill; /* refill: each answer is followed by another message */
static char read_buffer[READ_SIZE];

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(3);
}
static uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}
static void *grown(void *old, size_t size) {
  void *block = realloc(old, size);
  if (!block) fail("no memory for %zu bytes", size);
  return block;
}

/* Histograms */
static int bucket_of(uint64_t ns) {
  if (ns < SUB_BUCKETS) return (int)ns;
  int shift = 63 - __builtin_clzll(ns) - 6;
  return (shift + 1) * SUB_BUCKETS + (int)(ns >> shift) - SUB_BUCKETS;
}
static double bucket_end(int bucket) {
  if (bucket < SUB_BUCKETS) return bucket;
  int shift = bucket / SUB_BUCKETS - 1;
  return (double)((uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS + 1) << shift);
}
static void note(Histogram *histogram, uint64_t ns) {
  histogram->counts[bucket_of(ns)]++;
  histogram->total++;
  if (ns > histogram->most) histogram->most = ns;
}
static void print_histogram(const char *name, const Histogram *histogram) {
  static const double shares[] = {0.5, 0.9, 0.99, 0.999};
  static const char *names[] = {"p50", "p90", "p99", "p999"};
  printf(",\"%s\":{\"count\":%llu", name, (unsigned long long)histogram->total);
  uint64_t seen = 0;
  int share = 0;
  for (int bucket = 0; bucket < BUCKETS && share < 4 && histogram->total; bucket++) {
    seen += histogram->counts[bucket];
    while (share < 4 && seen > 0 && (double)seen >= shares[share] * (double)histogram->total) {
      double end = bucket_end(bucket);
      printf(",\"%s\":%.9f", names[share++], (end < histogram->most ? end : (double)histogram->most) / SECOND);
    }
  }
  printf(",\"worst\":%.9f}", (double)histogram->most / SECOND);
}

/* What processes use */
static double cpu_of(const Processes *process) {
  double total = 0;
  for (int i = 0; i < process->count; i++) {
    char path[64], line[1024], *end;
    unsigned long user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", process->pids[i]);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fgets(line, sizeof line, file) && (end = strrchr(line, ')')) &&
        sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
      total += (double)(user + system) / sysconf(_SC_CLK_TCK);
    fclose(file);
  }
  return total;
}
static long resident_kib(const Processes *process) {
  long total = 0;
  for (int i = 0; i < process->count; i++) {
    char path[64];
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", process->pids[i]);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fscanf(file, "%*d %ld", &pages) == 1) total += pages * (sysconf(_SC_PAGESIZE) / 1024);
    fclose(file);
  }
  return total;
}
static Counts counts(void) {
  Counts taken = now_counts;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  taken.own_cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  for (int i = 0; i < process_count; i++) taken.cpu[i] = cpu_of(&processes[i]);
  taken.at = clock_ns();
  return taken;
}

/* Sending */
static void watch(Connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(c - connections)};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}
static int reads_slowly(const Connection *c) { return c->group->is_slow && c->state == READY; }
static void lose(Connection *c, const char *why);
static void transmit(Connection *c, const void *data, size_t size) {
  size_t done = 0;
  if (c->state == CLOSED) return;
  if (!c->out_size) {
    ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return lose(c, strerror(errno));
    done = sent < 0 ? 0 : (size_t)sent;
    if (done == size) return;
  }
  if (c->out_size + size - done > c->out_room) c->out = grown(c->out, c->out_room = 2 * (c->out_size + size));
  memcpy(c->out + c->out_size, (const char *)data + done, size - done);
  c->out_size += size - done;
  watch(c, EPOLLOUT | (reads_slowly(c) ? 0 : EPOLLIN));
}
static void transmit_rest(Connection *c) {
  ssize_t sent = send(c->fd, c->out, c->out_size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno != EAGAIN) lose(c, strerror(errno));
    return;
  }
  memmove(c->out, c->out + sent, c->out_size -= (size_t)sent);
  if (!c->out_size) watch(c, reads_slowly(c) ? 0 : EPOLLIN);
}
static size_t write_frame(char *to, int opcode, const char *payload, size_t size) {
  size_t head = 2;
  to[0] = (char)(0x80 | opcode);
  if (size < 126) {
    to[1] = (char)(0x80 | size);
  } else {
    if (size > 65535) fail("a message of %zu bytes is too long for this load", size);
    to[1] = (char)(0x80 | 126);
    to[2] = (char)(size >> 8);
    to[3] = (char)size;
    head = 4;
  }
  memset(to + head, 0, 4);
  memcpy(to + head + 4, payload, size);
  return head + 4 + size;
}
static void transmit_frame(Connection *c, int opcode, Text payload) {
  static char frame[READ_SIZE];
  transmit(c, frame, write_frame(frame, opcode, payload.data, payload.size));
}

/* Messages: "{1}" to "{4}" are the connection's own arguments, put in once; the marks are filled in every time. */
static Text expanded(const Connection *c, Text template) {
  static char result[READ_SIZE];
  size_t size = 0;
  for (size_t i = 0; i < template.size; i++) {
    if (i + 2 < template.size && template.data[i] == '{' && template.data[i + 1] > '0' && template.data[i + 1] <= '0' + MOST_ARGUMENTS && template.data[i + 2] == '}') {
      Text argument = c->arguments[template.data[i + 1] - '1'];
      if (size + argument.size >= sizeof result) fail("an argument is too long");
      memcpy(result + size, argument.data, argument.size);
      size += argument.size;
      i += 2;
    } else {
      result[size++] = template.data[i];
    }
  }
  return (Text){result, size};
}
static int find_marks(const char *frame, size_t size, const char *mark, size_t *places) {
  int count = 0;
  const char *at = frame;
  while (count < MOST_MARKS && (at = memmem(at, size - (size_t)(at - frame), mark, strlen(mark)))) {
    places[count++] = (size_t)(at - frame);
    at += strlen(mark);
  }
  return count;
}
static void prepare(Connection *c, int opcode, Text template) {
  Text message = expanded(c, template);
  c->frame = grown(c->frame, message.size + 16);
  c->frame_size = write_frame(c->frame, opcode, message.data, message.size);
  c->stamp_count = find_marks(c->frame, c->frame_size, "@T:################", c->stamps);
  c->id_count = find_marks(c->frame, c->frame_size, "@I:########", c->ids);
  c->turn_count = find_marks(c->frame, c->frame_size, "$$", c->turns);
  c->in_flight = 0;
}
static void put_hex(char *to, uint64_t number, int digits) {
  while (digits--) {
    to[digits] = "0123456789abcdef"[number & 15];
    number >>= 4;
  }
}
static void send_messages(Connection *c, int many, uint64_t due) {
  static char batch[READ_SIZE];
  size_t size = 0;
  if (c->state != READY) return;
  for (int i = 0; i < many; i++) {
    if (size + c->frame_size > sizeof batch) {
      transmit(c, batch, size);
      size = 0;
    }
    char *frame = memcpy(batch + size, c->frame, c->frame_size);
    for (int k = 0; k < c->stamp_count; k++) put_hex(frame + c->stamps[k] + 3, due, 16);
    for (int k = 0; k < c->id_count; k++) put_hex(frame + c->ids[k] + 3, next_id, 8);
    for (int k = 0; k < c->turn_count; k++) {
      frame[c->turns[k]] = (char)('0' + c->turn % (uint32_t)turns / 10);
      frame[c->turns[k] + 1] = (char)('0' + c->turn % (uint32_t)turns % 10);
    }
    if (c->id_count) {
      due_of[next_id++ % DUE_RING] = due;
      c->in_flight++;
      in_flight++;
    }
    c->turn++;
    size += c->frame_size;
    now_counts.sent++;
  }
  transmit(c, batch, size);
}

/* Receiving */
static int hex_digit(char c) { return c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0'; }
static uint64_t get_hex(const char *from, int digits) {
  uint64_t number = 0;
  while (digits--) number = number << 4 | (uint64_t)(hex_digit(*from++) & 15);
  return number;
}
static void answered(Connection *c, uint32_t id, int is_accepted, uint64_t now) {
  uint64_t due = due_of[id % DUE_RING];
  if (is_accepted) now_counts.accepted++;
  else now_counts.refused++;
  if (due >= measured_from) note(&answers, now - due);
  if (c->in_flight > 0) {
    c->in_flight--;
    in_flight--;
  }
}
static void look_for_marks(Connection *c, const char *payload, size_t size, uint64_t now) {
  const char *at = payload, *end = payload + size;
  while (end - at >= 11 && (at = memchr(at, '@', (size_t)(end - at)))) {
    if (end - at >= 19 && !memcmp(at, "@T:", 3)) {
      uint64_t due = get_hex(at + 3, 16);
      /* Who reads slowly is late by its own doing. */
      if (c->group->is_slow) {
        now_counts.delivered_slowly++;
      } else {
        now_counts.delivered++;
        if (due >= measured_from && due <= now) note(&deliveries, now - due);
      }
      at += stride;
    } else if (end - at >= 11 && !memcmp(at, "@I:", 3)) {
      Text accepted = c->group->accepted;
      answered(c, (uint32_t)get_hex(at + 3, 8), !accepted.size || memmem(payload, size, accepted.data, accepted.size), now);
      at += 11;
    } else {
      at++;
    }
  }
}
static void take_steps(Connection *c) {
  Group *group = c->group;
  while (c->step < group->step_count && group->steps[c->step].is_send) {
    Step *step = &group->steps[c->step++];
    transmit_frame(c, step->opcode, expanded(c, step->text));
  }
  if (c->step == group->step_count && c->state == JOINING) {
    c->state = READY;
    joining--;
    ready_count++;
    now_counts.joined++;
    if (group->is_slow) watch(c, 0);
  }
}
static void frame_received(Connection *c, int opcode, char *payload, size_t size, uint64_t now) {
  Group *group = c->group;
  now_counts.frames++;
  if (opcode == 9) return transmit_frame(c, 10, (Text){payload, size});
  if (opcode == 8) {
    static char why[160];
    int code = size >= 2 ? (uint8_t)payload[0] << 8 | (uint8_t)payload[1] : 0;
    snprintf(why, sizeof why, "closed with %d %.*s", code, size > 2 ? (int)size - 2 : 0, payload + 2);
    return lose(c, why);
  }
  for (int i = 0; i < group->reply_count; i++) {
    Reply *reply = &group->replies[i];
    if (size >= reply->begins.size && !memcmp(payload, reply->begins.data, reply->begins.size))
      return transmit_frame(c, reply->opcode, reply->answer);
  }
  if (c->state == JOINING) {
    Text wanted = group->steps[c->step].text;
    if (memmem(payload, size, wanted.data, wanted.size)) {
      c->step++;
      take_steps(c);
    }
    return;
  }
  look_for_marks(c, payload, size, now);
}
/* The bytes used by whole frames at the beginning. */
static size_t take_frames(Connection *c, char *data, size_t size) {
  size_t at = 0;
  uint64_t now = clock_ns();
  while (size - at >= 2 && c->state != CLOSED) {
    const uint8_t *head = (uint8_t *)data + at;
    size_t length = head[1] & 127, start = 2;
    if (length == 126) {
      if (size - at < 4) break;
      length = (size_t)head[2] << 8 | head[3];
      start = 4;
    } else if (length == 127) {
      if (size - at < 10) break;
      length = 0;
      for (int i = 0; i < 8; i++) length = length << 8 | head[2 + i];
      start = 10;
    }
    if (size - at - start < length || size - at < start) break;
    frame_received(c, head[0] & 15, data + at + start, length, now);
    at += start + length;
  }
  return at;
}
static void data_received(Connection *c, size_t most) {
  ssize_t got = recv(c->fd, read_buffer, most, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return lose(c, got ? strerror(errno) : "closed by the server");
  now_counts.bytes += (uint64_t)got;
  char *data = read_buffer;
  size_t size = (size_t)got, used = 0;
  if (c->in_size) {
    if (c->in_size + size > c->in_room) c->in = grown(c->in, c->in_room = 2 * (c->in_size + size));
    memcpy(c->in + c->in_size, data, size);
    data = c->in;
    size = c->in_size += size;
  }
  if (c->state == UPGRADING) {
    char *end = memmem(data, size, "\r\n\r\n", 4);
    if (end) {
      if (size < 12 || memcmp(data + 8, " 101", 4)) fail("%s: not accepted: %.*s", c->group->name, (int)(size < 300 ? size : 300), data);
      used = (size_t)(end - data) + 4;
      c->state = JOINING;
      take_steps(c);
    }
  }
  if (c->state == JOINING || c->state == READY) used += take_frames(c, data + used, size - used);
  if (c->state == CLOSED) return;
  size -= used;
  if (size && data == read_buffer) {
    if (size > c->in_room) c->in = grown(c->in, c->in_room = size + 1024);
    memcpy(c->in, data + used, size);
  } else if (size) {
    memmove(c->in, data + used, size);
  }
  c->in_size = size;
}

/* Opening and closing */
static void open_connection(Connection *c) {
  int one = 1, segment = SLOW_SEGMENT, buffer = SLOW_BUFFER;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail("no socket: %s", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (c->group->is_slow) {
    /* On loopback the kernel would take megabytes for a reader that does not read. */
    setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) fail("no connection: %s", strerror(errno));
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u32 = (uint32_t)(c - connections)};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
  c->state = CONNECTING;
  c->step = 0;
  joining++;
}
static void connected(Connection *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) fail("no connection: %s", strerror(error));
  c->state = UPGRADING;
  Text request = expanded(c, c->group->request);
  watch(c, EPOLLIN);
  transmit(c, request.data, request.size);
}
static void forget(Connection *c) {
  if (c->state == READY) ready_count--;
  else joining--;
  in_flight -= (uint64_t)c->in_flight;
  c->in_flight = 0;
  close(c->fd);
  c->state = CLOSED;
  c->in_size = c->out_size = 0;
}
static void lose(Connection *c, const char *why) {
  if (!may_lose && !c->group->is_slow) fail("%s, connection %d: %s", c->group->name, (int)(c - connections) - c->group->first, why);
  now_counts.lost++;
  forget(c);
}
static void leave(Connection *c) {
  transmit_frame(c, 8, (Text){"\x03\xe8", 2});
  if (c->state != CLOSED) forget(c);
}

/* One turn of the loop: what the sockets have, waiting no longer than until `until`. */
static void turn(uint64_t until) {
  static struct epoll_event events[512];
  uint64_t now = clock_ns(), left = until > now ? until - now : 0;
  struct timespec timeout = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
  int count = epoll_pwait2(epoll_fd, events, 512, &timeout, NULL);
  for (int i = 0; i < count; i++) {
    Connection *c = &connections[events[i].data.u32];
    if (c->state == CLOSED) continue;
    if (events[i].events & EPOLLOUT) {
      if (c->state == CONNECTING) connected(c);
      else if (c->out_size) transmit_rest(c);
    }
    if (c->state > CONNECTING && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
      int before = c->in_flight;
      if (reads_slowly(c) && !(events[i].events & EPOLLIN)) lose(c, "closed by the server");
      else data_received(c, READ_SIZE);
      if (refill && before > c->in_flight) send_messages(c, before - c->in_flight, clock_ns());
    }
  }
}
static void wait_for(double seconds) {
  uint64_t end = clock_ns() + (uint64_t)(seconds * SECOND);
  while (clock_ns() < end) turn(end);
}
static void print_processes(const Counts *from, const Counts *to) {
  printf(",\"cpu\":{\"load\":%.4f", to->own_cpu - from->own_cpu);
  for (int i = 0; i < process_count; i++) printf(",\"%s\":%.2f", processes[i].name, to->cpu[i] - from->cpu[i]);
  printf("},\"resident_kib\":{");
  for (int i = 0; i < process_count; i++) printf("%s\"%s\":%ld", i ? "," : "", processes[i].name, resident_kib(&processes[i]));
  printf("}");
}
static void join_group(Group *group) {
  Counts before = counts();
  long resident[MOST_PROCESSES];
  for (int i = 0; i < process_count; i++) resident[i] = resident_kib(&processes[i]);
  int open = group->churn > 0 ? group->count / 2 : group->count, started = 0;
  uint64_t deadline = before.at + 120 * SECOND;
  while (started < open || joining) {
    while (started < open && joining < at_once) open_connection(&connections[group->first + started++]);
    turn(clock_ns() + SECOND / 20);
    if (clock_ns() > deadline) fail("%s: only %d of %d joined", group->name, started - joining, open);
  }
  Counts after = counts();
  wait_for(settle);
  printf("{\"joined\":\"%s\",\"connections\":%d,\"seconds\":%.4f", group->name, open, (double)(after.at - before.at) / SECOND);
  print_processes(&before, &after);
  printf(",\"grown_kib\":{");
  for (int i = 0; i < process_count; i++) printf("%s\"%s\":%ld", i ? "," : "", processes[i].name, resident_kib(&processes[i]) - resident[i]);
  printf("}}\n");
  fflush(stdout);
}

/* Phases */
typedef struct {
  char name[64], kind[16];
  Group *group;
  double amount, seconds, warm_up, interval;
  int many, subscribers, opcode;
  Text message;
} Phase;

static void print_phase(const Phase *phase, const char *label, const Counts *from, const Counts *to) {
  printf("{\"%s\":\"%s\",\"seconds\":%.6f,\"connections\":%d", label, phase->name, (double)(to->at - from->at) / SECOND, ready_count);
  printf(",\"delivered_slowly\":%llu", (unsigned long long)(to->delivered_slowly - from->delivered_slowly));
  printf(",\"delivered\":%llu,\"sent\":%llu,\"accepted\":%llu,\"refused\":%llu,\"bytes\":%llu,\"frames\":%llu,\"lost\":%llu,\"joins\":%llu",
         (unsigned long long)(to->delivered - from->delivered), (unsigned long long)(to->sent - from->sent),
         (unsigned long long)(to->accepted - from->accepted), (unsigned long long)(to->refused - from->refused),
         (unsigned long long)(to->bytes - from->bytes), (unsigned long long)(to->frames - from->frames),
         (unsigned long long)(to->lost - from->lost), (unsigned long long)(to->joined - from->joined));
  print_processes(from, to);
  print_histogram("delivery", &deliveries);
  print_histogram("answer", &answers);
  print_histogram("sent_late", &lateness);
}
static void forget_times(void) {
  memset(&deliveries, 0, sizeof deliveries);
  memset(&answers, 0, sizeof answers);
  memset(&lateness, 0, sizeof lateness);
}
static uint64_t read_slowly(uint64_t due, uint64_t now) {
  if (now < due) return due;
  for (int i = 0; i < connection_count; i++)
    if (connections[i].state == READY && connections[i].group->is_slow) data_received(&connections[i], SLOW_BYTES);
  /* Who was cut off comes back. */
  for (int i = 0; i < connection_count; i++)
    if (connections[i].state == CLOSED && connections[i].group->is_slow) open_connection(&connections[i]);
  return now + SLOW_PERIOD;
}
static uint64_t let_come_and_go(Group *group, uint64_t due, uint64_t now) {
  static int oldest, newest = -1;
  if (newest < 0) newest = group->count / 2;
  if (now < due) return due;
  Connection *going = &connections[group->first + oldest++ % group->count];
  Connection *coming = &connections[group->first + newest++ % group->count];
  if (going->state == READY) leave(going);
  if (coming->state == CLOSED) open_connection(coming);
  return due + (uint64_t)(SECOND / group->churn);
}
static void send_what_is_due(const Phase *phase, uint64_t start, uint64_t now, uint64_t *bursts) {
  uint64_t due;
  while ((due = start + (uint64_t)((double)*bursts * SECOND / phase->amount)) <= now) {
    if (due >= measured_from) note(&lateness, now - due);
    send_messages(&connections[phase->group->first + (int)(*bursts % (uint64_t)phase->group->count)], phase->many, due);
    ++*bursts;
  }
}
static void fill_window(const Phase *phase, uint64_t sent_before, uint64_t delivered_before, uint64_t *bursts) {
  int64_t open = (int64_t)(now_counts.sent - sent_before) - (int64_t)((now_counts.delivered - delivered_before) / (uint64_t)phase->subscribers);
  int64_t missing = (int64_t)phase->amount - open;
  int count = phase->group->count;
  while (missing > 0) {
    int many = missing > count ? (int)missing / count : 1;
    send_messages(&connections[phase->group->first + (int)((*bursts)++ % (uint64_t)count)], many, clock_ns());
    missing -= many;
  }
}
static void run_phase(Phase *phase) {
  int is_paced = !strcmp(phase->kind, "paced"), is_window = !strcmp(phase->kind, "window"), is_saturated = !strcmp(phase->kind, "saturated");
  if (phase->group)
    for (int i = 0; i < phase->group->count; i++) prepare(&connections[phase->group->first + i], phase->opcode, phase->message);
  Group *churning = NULL;
  int has_slow = 0;
  for (int i = 0; i < group_count; i++) {
    if (groups[i].churn > 0) churning = &groups[i];
    has_slow |= groups[i].is_slow;
  }
  may_lose = churning != NULL;
  in_flight = 0;
  forget_times();
  uint64_t start = clock_ns(), begin = start + (uint64_t)(phase->warm_up * SECOND), end = begin + (uint64_t)(phase->seconds * SECOND);
  uint64_t bursts = 0, slow_due = start, churn_due = start, report_due = UINT64_MAX;
  uint64_t all_sent = now_counts.sent, all_delivered = now_counts.delivered;
  Counts first = {0}, last = {0};
  int is_measuring = 0;
  measured_from = begin;
  refill = is_saturated;
  if (is_saturated)
    for (int i = 0; i < phase->group->count; i++) send_messages(&connections[phase->group->first + i], (int)phase->amount, start);
  for (uint64_t now = start; now < end; now = clock_ns()) {
    uint64_t until = is_measuring ? end : begin;
    if (!is_measuring && now >= begin) {
      first = last = counts();
      is_measuring = 1;
      until = end;
      if (phase->interval > 0) report_due = begin + (uint64_t)(phase->interval * SECOND);
    }
    if (is_paced) {
      send_what_is_due(phase, start, now, &bursts);
      uint64_t next = start + (uint64_t)((double)bursts * SECOND / phase->amount) + 1;
      if (next < until) until = next;
    }
    if (is_window) fill_window(phase, all_sent, all_delivered, &bursts);
    if (has_slow && (slow_due = read_slowly(slow_due, now)) < until) until = slow_due;
    if (churning && (churn_due = let_come_and_go(churning, churn_due, now)) < until) until = churn_due;
    if (now >= report_due) {
      Counts here = counts();
      print_phase(phase, "interval", &last, &here);
      printf("}\n");
      fflush(stdout);
      forget_times();
      last = here;
      report_due += (uint64_t)(phase->interval * SECOND);
    }
    if (report_due < until) until = report_due;
    turn(until);
  }
  Counts final = counts();
  refill = 0;
  /* What is on the way still counts: a latency that is not waited for would be left out. */
  uint64_t deadline = clock_ns() + 5 * SECOND;
  while (in_flight && clock_ns() < deadline) turn(clock_ns() + SECOND / 50);
  uint64_t expected = (now_counts.sent - all_sent) * (uint64_t)phase->subscribers;
  deadline = clock_ns() + SECOND;
  while (now_counts.delivered - all_delivered < expected && clock_ns() < deadline) turn(clock_ns() + SECOND / 50);
  print_phase(phase, "phase", &first, &final);
  printf(",\"unanswered\":%llu,\"expected\":%llu,\"delivered_in_all\":%llu}\n", (unsigned long long)in_flight, (unsigned long long)expected,
         (unsigned long long)(now_counts.delivered - all_delivered));
  fflush(stdout);
}

/* The script: one thing a line, its words separated by tabs; \xNN, \t, \r, \n and \\ in them. */
static Text unescaped(const char *word) {
  Text text = {grown(NULL, strlen(word) + 1), 0};
  for (; *word; word++) {
    char c = *word;
    if (c == '\\') {
      c = *++word;
      if (c == 'x') {
        c = (char)get_hex(word + 1, 2);
        word += 2;
      } else {
        c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
      }
    }
    text.data[text.size++] = c;
  }
  text.data[text.size] = 0;
  return text;
}
static int opcode_of(const char *word) { return !strcmp(word, "text") ? 1 : 2; }
static Group *group_called(const char *name) {
  for (int i = 0; i < group_count; i++)
    if (!strcmp(groups[i].name, name)) return &groups[i];
  return NULL;
}
static void add_group(const char *name) {
  if (group_count == MOST_GROUPS) fail("too many groups");
  Group *group = &groups[group_count++];
  snprintf(group->name, sizeof group->name, "%s", name);
  group->first = connection_count;
}
static void add_connection(char **words, int count) {
  if (connection_count == connection_room) {
    connection_room = 2 * connection_room + 1024;
    connections = grown(connections, (size_t)connection_room * sizeof *connections);
  }
  Connection *c = memset(&connections[connection_count++], 0, sizeof *c);
  c->group = &groups[group_count - 1];
  c->group->count++;
  for (int i = 1; i < count && i <= MOST_ARGUMENTS; i++) c->arguments[i - 1] = unescaped(words[i]);
}
static void set_core(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}
static void obey(char **words, int count) {
  const char *word = words[0];
  Group *group = group_count ? &groups[group_count - 1] : NULL;
#define IS(name, least) (!strcmp(word, name) && count > least)
  if (IS("port", 1)) port = atoi(words[1]);
  else if (IS("core", 1)) set_core(atoi(words[1]));
  else if (IS("stride", 1)) stride = (size_t)atoi(words[1]);
  else if (IS("settle", 1)) settle = atof(words[1]);
  else if (IS("turns", 1)) turns = atoi(words[1]);
  else if (IS("at_once", 1)) at_once = atoi(words[1]);
  else if (IS("process", 2)) {
    if (process_count == MOST_PROCESSES) fail("too many processes");
    Processes *process = &processes[process_count++];
    snprintf(process->name, sizeof process->name, "%s", words[1]);
    for (int i = 2; i < count && process->count < 16; i++) process->pids[process->count++] = atoi(words[i]);
  } else if (IS("group", 1)) add_group(words[1]);
  else if (group && IS("request", 1)) group->request = unescaped(words[1]);
  else if (group && IS("accepted", 1)) group->accepted = unescaped(words[1]);
  else if (group && IS("slow", 0)) group->is_slow = 1;
  else if (group && IS("churn", 1)) group->churn = atof(words[1]);
  else if (group && IS("send", 2) && group->step_count < MOST_STEPS) group->steps[group->step_count++] = (Step){1, opcode_of(words[1]), unescaped(words[2])};
  else if (group && IS("expect", 1) && group->step_count < MOST_STEPS) group->steps[group->step_count++] = (Step){0, 0, unescaped(words[1])};
  else if (group && IS("reply", 3) && group->reply_count < MOST_REPLIES) group->replies[group->reply_count++] = (Reply){unescaped(words[1]), unescaped(words[3]), opcode_of(words[2])};
  else if (group && IS("connection", 0)) add_connection(words, count);
  else if (IS("join", 1) && group_called(words[1])) join_group(group_called(words[1]));
  else if (IS("phase", 10)) {
    Phase phase = {.group = group_called(words[3]), .amount = atof(words[4]), .many = atoi(words[5]), .subscribers = atoi(words[6]),
                   .warm_up = atof(words[7]), .seconds = atof(words[8]), .interval = atof(words[9]), .opcode = opcode_of(words[10])};
    snprintf(phase.name, sizeof phase.name, "%s", words[1]);
    snprintf(phase.kind, sizeof phase.kind, "%s", words[2]);
    if (count > 11) phase.message = unescaped(words[11]);
    run_phase(&phase);
  } else fail("this is no line of a script: %s", word);
}
int main(void) {
  char *line = NULL, *words[24];
  size_t room = 0;
  ssize_t size;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  while ((size = getline(&line, &room, stdin)) > 0) {
    if (line[size - 1] == '\n') line[--size] = 0;
    int count = 0;
    for (char *rest = line, *word; count < 24 && (word = strsep(&rest, "\t"));) words[count++] = word;
    if (count && *words[0]) obey(words, count);
  }
  return 0;
}
