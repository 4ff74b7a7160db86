// tests/host/test_store.cpp — processes find each other, by TCP and in a folder, and never a run of before.
#include "engine/comm/store.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <atomic>
#include <fstream>
#include <set>
#include <thread>

#include "engine/comm/meeting.h"
#include "engine/comm/process_group.h"
#include "engine/comm/socket.h"
#include "engine/files.h"
#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

int free_port() { return Socket::listen(0).port(); }
using Make = std::function<std::shared_ptr<Store>(int rank)>;

// An address of this machine that others could reach it by; "": it has none.
std::string outside_address() {
  ifaddrs* list = nullptr;
  std::string address;
  if (::getifaddrs(&list)) return address;
  for (const ifaddrs* i = list; i && address.empty(); i = i->ifa_next) {
    char host[NI_MAXHOST];
    if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK) &&
        !::getnameinfo(i->ifa_addr, sizeof(sockaddr_in), host, sizeof host, nullptr, 0, NI_NUMERICHOST))
      address = host;
  }
  ::freeifaddrs(list);
  return address;
}

// Both kinds of store; each call of the maker is another process's.
void for_each_store(const std::function<void(const Make&)>& f) {
  const TempFolder folder;
  f([&](int rank) -> std::shared_ptr<Store> { return file_store(folder / "meeting", rank == 0); });
  const int port = free_port();
  f([port](int rank) -> std::shared_ptr<Store> { return tcp_store("127.0.0.1", port, "run", rank == 0, 30s); });
}

}  // namespace

TEST_CASE("store: values of any bytes, seen by the others, replaced at once") {
  for_each_store([](const Make& make) {
    const auto a = make(0), b = make(1);
    CAPTURE(a->where());
    CHECK(!b->get("key"));
    std::string bytes(1 << 20, '\0');  // the largest
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = char(i * 7);
    for (const std::string& value : {std::string(), std::string("one\ntwo"), bytes}) {
      a->set("some/key-1.x", value);
      CHECK(b->get("some/key-1.x") == value);
      CHECK(a->get("some/key-1.x") == value);
    }
    b->set("other", "from b");
    CHECK(a->get("other") == "from b");
    CHECK(wait_for_value(*a, "other", 1s, "") == "from b");
    expect_throw("what never comes did not come within 0.03 s", [&] { wait_for_value(*b, "absent", 30ms, "what never comes"); });
  });
}

TEST_CASE("store: rank 0's folder goes away with it, but not what others have there") {
  const TempFolder folder;
  {
    const auto a = file_store(folder / "a/b", true), b = file_store(folder / "mine", true);
    a->set("x", "1"), b->set("x", "1");
    file_store(folder / "a/b", false)->set("y", "2");
    write_file_atomically(folder / "mine/file", "my own");
  }
  CHECK(!fs::exists(folder / "a/b"));
  CHECK(read_file(folder / "mine/file") == "my own");
  CHECK(std::distance(fs::directory_iterator(folder / "mine"), {}) == 1);
  write_file_atomically(folder / "file", "");
  expect_throw("rendezvous folder", [&] { file_store(folder / "file/x", true); });
}

TEST_CASE("store: TCP refuses another run's processes and strangers, and says who is missing") {
  const int port = free_port();
  expect_throw(str("nobody answered at tcp://127.0.0.1:", port, " within 0.1 s"), [&] { tcp_store("127.0.0.1", port, "run", false, 100ms); });
  const auto a = tcp_store("127.0.0.1", port, "run one", true, 10s);
  expect_throw("is another run's: run id 'run one', not 'run two'", [&] { tcp_store("127.0.0.1", port, "run two", false, 10s); });
  expect_throw(str("port ", port, " cannot be listened on"), [&] { tcp_store("127.0.0.1", port, "run one", true, 10s); });
  CHECK(a->local_address() == "127.0.0.1");
  {  // somebody who speaks something else, or not at all, or asks before saying hello
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    auto silent = Socket::connect("127.0.0.1", port, deadline), http = Socket::connect("127.0.0.1", port, deadline), rude = Socket::connect("127.0.0.1", port, deadline);
    REQUIRE((silent && http && rude));
    CHECK(http->send("GET / HTTP/1.0"));
    CHECK(!http->receive(100, deadline));
    CHECK(rude->send("skey\nvalue"));
    CHECK(!rude->receive(100, deadline));
    a->set("key", "still here");
    CHECK(a->get("key") == "still here");
  }
  CHECK(!a->get("value"));
}

TEST_CASE("store: who comes over the loopback learns by which address others come to the same machine" * doctest::skip(outside_address().empty())) {
  const int port = free_port();
  const std::string outside = outside_address();
  const auto a = tcp_store("127.0.1.1", port, "run", true, 10s), near = tcp_store("127.0.0.1", port, "run", false, 10s);
  CHECK(is_loopback(a->local_address()));
  expect_throw("is another run's", [&] { tcp_store(outside, port, "another", false, 10s); });
  CHECK(near->local_address() == "127.0.0.1");
  const auto far = tcp_store(outside, port, "run", false, 10s);
  for (const auto* s : {&a, &near, &far}) CHECK((*s)->local_address() == outside);
  CHECK(is_loopback("127.3.2.1"));
  CHECK(is_loopback("::1"));
  for (const char* address : {"128.0.0.1", "10.127.0.1", "::12", "fe80::1", "1270::1"}) CHECK(!is_loopback(address));
}

TEST_CASE("meeting: all leave with the same name, another one each time") {
  for_each_store([](const Make& make) {
    std::set<std::string> names;
    for (int round = 0; round < 3; ++round) {  // in a folder, the rounds after the first find what was left there
      std::vector<std::string> name(4);
      std::atomic<int> met{0};
      in_threads(4, [&](int rank) {
        if (rank == round) std::this_thread::sleep_for(30ms);
        const auto store = rank == 0 ? make(0) : make(rank);
        name[std::size_t(rank)] = meet(*store, rank, 4, 30s);
        ++met;
        while (met < 4) std::this_thread::sleep_for(1ms);  // nobody's store goes before
      });
      CHECK(std::set<std::string>(name.begin(), name.end()).size() == 1);
      names.insert(name[0]);
    }
    CHECK(names.size() == 3);
  });
}

TEST_CASE("meeting: what a killed run left behind is not taken for this one's") {
  const TempFolder folder;
  // As after kill -9: rank 0 does not own the folder, so that everything stays.
  const auto meet_in_folder = [&](int world) {
    std::vector<std::string> name(std::size_t(world), "");
    in_threads(world, [&](int rank) { name[std::size_t(rank)] = meet(*file_store(folder / "run", false), rank, world, 30s); });
    CHECK(std::set<std::string>(name.begin(), name.end()).size() == 1);
    return name[0];
  };
  const std::string first = meet_in_folder(3), second = meet_in_folder(3), smaller = meet_in_folder(2), larger = meet_in_folder(5);
  CHECK(std::set<std::string>{first, second, smaller, larger}.size() == 4);
  in_threads(2, [&](int rank) { meet(*file_store(folder / "two", false), rank, 2, 30s); });
  expect_throw("without rank 1 of 2", [&] { meet(*file_store(folder / "two", false), 0, 2, 100ms); });
  // Rank 0 alone among the remains of a complete meeting waits in vain, and so does a rank without rank 0.
  expect_throw("without rank 1, 2 of 3", [&] { meet(*file_store(folder / "run", false), 0, 3, 100ms); });
  expect_throw("rank 1 of 3 waited 0.1 s for rank 0", [&] { meet(*file_store(folder / "run", false), 1, 3, 100ms); });
}

TEST_CASE("meeting: who did not come, came twice, or expects others") {
  for_each_store([](const Make& make) {
    const auto store = make(0);
    expect_throw("after 0.05 s without rank 1, 2 of 3", [&] { meet(*store, 0, 3, 50ms); });
    CHECK(meet(*store, 0, 1, 1s) != "");
  });
  const TempFolder folder;
  const auto open = [&](const char* name) { return file_store(folder / name, false); };
  // The first comes, and the second when the first has been seen.
  const auto one_after_another = [&](const char* name, const std::function<void()>& first, const std::function<void()>& second) {
    in_threads(2, [&](int i) {
      if (i == 0) return first();
      wait_for_value(*open(name), "hello/1", 30s, "the first");
      second();
    });
  };
  one_after_another(
      "twice", [&] { expect_throw("two processes say that they are rank 1 of 2", [&] { meet(*open("twice"), 1, 2, 30s); }); },
      [&] { expect_throw("waited 1 s for rank 0", [&] { meet(*open("twice"), 1, 2, 1s); }); });
  one_after_another(
      "sizes", [&] { expect_throw("rank 1 of 4 waited", [&] { meet(*open("sizes"), 1, 4, 1s); }); },
      [&] { expect_throw("(rank 1 expects 4 processes)", [&] { meet(*open("sizes"), 0, 2, 300ms); }); });
}

TEST_CASE("process_group: over TCP and by a folder, and alone") {
  Context ctx;
  const ProcessGroup one = connect(ctx, {});
  CHECK(one.world() == 1);
  CHECK(one.lead());
  const TempFolder folder;
  const int port = free_port();
  for (const auto& rendezvous : {std::string(), "file://" + (folder / "shared").string()})
    in_threads(3, [&](int rank) {
      Context own;
      const ProcessPlace place{.rank = rank, .world = 3, .local_rank = rank, .local_world = 3, .address = "127.0.0.1", .port = port, .run_id = "a run", .source = ""};
      const ProcessGroup group = connect(own, place, {.rendezvous = rendezvous});
      CHECK(group.rank() == rank);
      CHECK(group.lead() == (rank == 0));
      CHECK(group.host == group.device);
      std::vector<float> v{float(rank)};
      group.device->all_reduce_sum(v);
      CHECK(v[0] == 3);
      group.host->barrier();
    });
  CHECK(fs::is_empty(folder / "shared"));
  expect_throw("set BONAFIDE_RUN_ID", [&] { connect(ctx, {.world = 2}, {.rendezvous = "file://" + (folder / "nameless").string(), .meeting_timeout = 100ms}); });
  CHECK(!fs::exists(folder / "nameless"));
  expect_throw("rendezvous 'shared': expected file:///folder", [&] { connect(ctx, {.world = 2}, {.rendezvous = "shared"}); });
}
