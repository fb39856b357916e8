/// A member with probes for its own actors, its controller and the members of other processes.
/// Nothing is reached over a network here: who dials shows in the timers that are set.
#include "actors/member.hpp"

#include <caf/sec.hpp>

#include <set>

#include "actors/fixture.hpp"

namespace dtranspose {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class member : public testing::Test {
 protected:
  void build(bool with_controller) {
    member_options options;
    options.self = own;
    options.system = "p05";
    options.version = "1.0";
    if (with_controller) options.controller = controller.handle;
    options.join_host = "nowhere";
    options.join_port = 1;
    options.connector = w.own(w.system().spawn(reaches_nobody));
    options.random = [] { return std::uint64_t{77}; };
    options.refused = [this](const std::string& text) { refusal = text; };
    options.warned = [this](const std::string& who, const value&) { warned_by.push_back(who); };
    actor = w.own(spawn_member(w.system(), std::move(options)));
    w.run();
  }

  /// A process that has all roles.
  static member_info info_of(std::uint64_t life, const probe& p) {
    member_info m;
    m.life = incarnation(life);
    m.name = "process" + std::to_string(life);
    m.address = "127.0.0.1:" + std::to_string(life);
    m.member = p.handle;
    m.assembler = p.handle;
    m.reducer = p.handle;
    m.ingesters = {{"x", p.handle}};
    m.workers = {{"wx", {}, p.handle}};
    return m;
  }

  roster::entry entry(std::uint64_t life, bool ingests, bool works, bool reduces) {
    return {incarnation(life), "process" + std::to_string(life), "127.0.0.1:1", ingests, works, reduces};
  }

  std::vector<std::uint64_t> lives(const std::vector<member_info>& list) {
    std::vector<std::uint64_t> result;
    for (auto& m : list) result.push_back(m.life.value);
    return result;
  }

  static std::vector<std::uint64_t> lives_of(const std::vector<departed>& list) {
    std::vector<std::uint64_t> result;
    for (auto& m : list) result.push_back(m.life.value);
    return result;
  }

  /// In the place of CAF's middleman, which has a thread of its own: it reaches nobody.
  static caf::behavior reaches_nobody(caf::event_based_actor*) {
    using answer = caf::result<caf::node_id, caf::strong_actor_ptr, std::set<std::string>>;
    return {[](caf::connect_atom, const std::string&, std::uint16_t) -> answer {
      return caf::make_error(caf::sec::cannot_connect_to_node);
    }};
  }

  world w;
  probe controller{w}, ingester{w}, worker{w}, assembler{w}, other{w}, third{w};
  member_info own = [this] {
    member_info m;
    m.life = incarnation(50);
    m.name = "us";
    m.ingesters = {{"det", ingester.handle}};
    m.workers = {{"w0", {"generic"}, worker.handle}};
    m.assembler = assembler.handle;
    return m;
  }();
  std::string refusal;
  std::vector<std::string> warned_by;
  caf::actor actor;
};

TEST_F(member, announces_itself_to_its_own_actors_and_controller) {
  build(true);
  EXPECT_THAT(controller.letters, IsEmpty());
  other.send(actor, dial_atom::value, std::string("127.0.0.1:4242"));
  auto m = controller.expect<member_info>();
  EXPECT_EQ(m.life, incarnation(50));
  EXPECT_EQ(m.address, "127.0.0.1:4242");
  EXPECT_EQ(m.member, actor);
  for (auto p : {&ingester, &worker, &assembler}) EXPECT_THAT(lives(p->all<member_info>()), ElementsAre(50));
  EXPECT_FALSE(w.scheduler().has_pending_timeout()) << "there is nobody to join";
}

TEST_F(member, takes_greetings_of_its_own_kind_only) {
  build(true);
  auto greet = [&](std::string version, std::string system) {
    return other.ask<hello_atom>(actor, hello_atom::value, std::move(version), std::move(system));
  };
  EXPECT_EQ(greet("1.0", "p05").error(), "");
  auto version = greet("1.1", "p05"), system = greet("1.0", "p06");
  EXPECT_EQ(version.code(), ec::refused);
  EXPECT_THAT(version.error(), testing::AllOf(HasSubstr("1.0"), HasSubstr("1.1")));
  EXPECT_EQ(system.code(), ec::refused);
  EXPECT_THAT(system.error(),
              testing::AllOf(HasSubstr("p05"), HasSubstr("p06"), HasSubstr("[cluster] name")));
  EXPECT_THAT(controller.letters, IsEmpty());
}

TEST_F(member, links_who_introduces_itself) {
  build(true);
  EXPECT_EQ(other.ask<member_info>(actor, info_of(60, other)).get().life, incarnation(50));
  EXPECT_EQ(third.ask<member_info>(actor, info_of(61, third)).get().life, incarnation(50));
  for (auto p : {&controller, &ingester, &worker, &assembler})
    EXPECT_THAT(lives(p->all<member_info>()), ElementsAre(60, 61));
  auto rosters = other.all<roster>();
  ASSERT_THAT(rosters, SizeIs(2));
  ASSERT_THAT(rosters.back().members, SizeIs(2));
  auto& e = rosters.back().members.back();
  EXPECT_EQ(e.life, incarnation(61));
  EXPECT_EQ(e.address, "127.0.0.1:61");
  EXPECT_TRUE(e.ingests && e.works && e.reduces);
  EXPECT_THAT(third.all<roster>(), SizeIs(1));
}

TEST_F(member, hears_what_went_wrong_in_linked_processes) {
  build(true);
  other.ask<member_info>(actor, info_of(60, other)).get();
  other.send(actor, value(value_list{value_map{{"text", "odd"}}}));
  third.send(actor, value(value_list{})); // somebody whom nobody knows
  w.run();
  EXPECT_THAT(warned_by, ElementsAre("process60"));
}

TEST_F(member, without_a_controller_it_tells_its_own_actors_alone) {
  build(false);
  EXPECT_EQ(other.ask<member_info>(actor, info_of(60, other)).get().life, incarnation(50));
  for (auto p : {&ingester, &worker, &assembler}) EXPECT_THAT(lives(p->all<member_info>()), ElementsAre(60));
  EXPECT_THAT(other.all<roster>(), IsEmpty());
}

TEST_F(member, says_who_is_gone) {
  build(true);
  other.ask<member_info>(actor, info_of(60, other));
  third.ask<member_info>(actor, info_of(61, third));
  third.all<roster>();
  caf::anon_send_exit(other.handle, caf::exit_reason::user_shutdown);
  w.run();
  for (auto p : {&controller, &ingester, &worker, &assembler})
    EXPECT_EQ(p->expect<departed>().life, incarnation(60));
  EXPECT_THAT(third.expect<roster>().members, SizeIs(1));
  auto report = third.ask<value>(actor, status_atom::value).get();
  EXPECT_EQ(*report.find("peers")->as_list(), (value_list{"process61"}));
}

TEST_F(member, a_peer_that_introduces_itself_twice_is_gone_once) {
  build(true);
  other.ask<member_info>(actor, info_of(60, other));
  other.ask<member_info>(actor, info_of(60, other));
  caf::anon_send_exit(other.handle, caf::exit_reason::user_shutdown);
  w.run();
  EXPECT_THAT(controller.all<departed>(), SizeIs(1));
}

TEST_F(member, dials_those_it_needs_from_the_smaller_incarnation) {
  struct one {
    roster::entry entry;
    bool dials;
  };
  for (auto& [e, dials] : {one{entry(60, false, true, false), true},   // our ingester, their workers
                           one{entry(60, false, false, true), true},   // our workers, their reducer
                           one{entry(60, true, false, false), true},   // their ingester, our workers
                           one{entry(60, false, false, false), false}, // nothing to talk about
                           one{entry(40, true, true, true), false},    // they dial
                           one{entry(50, true, true, true), false}}) { // that is us
    build(true);
    EXPECT_FALSE(w.scheduler().has_pending_timeout());
    other.send(actor, roster{{e}});
    EXPECT_EQ(w.scheduler().has_pending_timeout(), dials)
        << e.life.value << " " << e.ingests << e.works << e.reduces;
    // Nobody is there, and nobody is on the roster any more: it stops.
    other.send(actor, roster{});
    w.advance(11s, 100ms);
    EXPECT_FALSE(w.scheduler().has_pending_timeout());
  }
}

TEST_F(member, goes_on_as_somebody_else_when_it_was_given_up) {
  build(true);
  other.send(actor, dial_atom::value, std::string("127.0.0.1:4242"));
  other.ask<member_info>(actor, info_of(60, other));
  for (auto p : {&controller, &ingester, &worker, &assembler, &other}) p->letters.clear();
  other.send(actor, renew{});
  auto life = worker.expect<renew>().life;
  EXPECT_EQ(life, incarnation(77));
  EXPECT_EQ(assembler.expect<renew>().life, life);
  EXPECT_EQ(ingester.expect<renew>().life, life);
  EXPECT_EQ(controller.expect<member_info>().life, life);
  EXPECT_EQ(other.expect<member_info>().life, life);
}

TEST_F(member, who_goes_on_as_somebody_else_is_gone_as_who_it_was) {
  build(true);
  other.ask<member_info>(actor, info_of(60, other));
  for (auto p : {&controller, &worker}) p->letters.clear();
  other.ask<member_info>(actor, info_of(61, other));
  for (auto p : {&controller, &worker}) {
    auto gone = p->take_letter<departed>(), came = p->take_letter<member_info>();
    ASSERT_TRUE(gone && came);
    EXPECT_EQ(gone->content.get_as<departed>(0).life, incarnation(60));
    EXPECT_EQ(came->content.get_as<member_info>(0).life, incarnation(61));
    EXPECT_LT(gone->arrival, came->arrival);
  }
  caf::anon_send_exit(other.handle, caf::exit_reason::user_shutdown);
  w.run();
  EXPECT_THAT(lives_of(controller.all<departed>()), ElementsAre(61));
}

TEST_F(member, says_whom_it_cannot_reach) {
  build(true);
  other.send(actor, unreachable{incarnation(50), incarnation(60)});
  EXPECT_EQ(controller.expect<unreachable>().to, incarnation(60));
}

TEST_F(member, does_not_dial_who_is_linked) {
  build(true);
  other.ask<member_info>(actor, info_of(60, other));
  other.send(actor, roster{{entry(60, true, true, true)}});
  EXPECT_FALSE(w.scheduler().has_pending_timeout());
}

TEST_F(member, dials_its_controller_until_it_is_there) {
  build(false);
  other.send(actor, dial_atom::value, std::string("127.0.0.1:4242"));
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(w.scheduler().has_pending_timeout());
    w.advance(1s);
  }
  EXPECT_EQ(refusal, "");
}

} // namespace
} // namespace dtranspose
