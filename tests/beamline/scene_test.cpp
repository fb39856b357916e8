/// Scenes through the series of the protocols that their instruments speak, read back as a receiver does.
#include "beamline/scene.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/panda_tcp_series.hpp"
#include "instrument/series_generator.hpp"
#include "protocol/albaem.hpp"
#include "protocol/compression.hpp"
#include "protocol/contrast.hpp"
#include "protocol/panda_row.hpp"
#include "protocol/panda_tcp.hpp"
#include "protocol/sardana.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;

std::shared_ptr<const scene> raster() { return make_scene("xrf_raster", {{"rows", "3"}, {"columns", "4"}}); }
std::shared_ptr<const scene> tomography() {
  return make_scene(
      "tomography",
      {{"rows", "16"}, {"columns", "24"}, {"projections", "9"}, {"darks", "2"}, {"flats", "1"}});
}

/// The entries that a receiver finds, start and end included.
std::vector<stream_data> entries_of(std::string_view protocol, const series_settings& settings) {
  auto series = make_series(protocol, settings);
  auto reader = make_protocol(protocol);
  std::vector<stream_packet> packets;
  while (auto message = series->next()) reader->read(*message, packets);
  EXPECT_EQ(packets.size(), series->entries());
  std::vector<stream_data> entries;
  for (auto& packet : packets) {
    EXPECT_FALSE(packet.fault) << protocol;
    entries.push_back(packet.data);
  }
  return entries;
}

std::vector<stream_data> entries_of(const scene& s, std::string_view protocol, std::string_view role,
                                    protocol_options options = {}) {
  return entries_of(protocol, {.frames = s.frames(), .options = std::move(options), .view = s.view(role)});
}

TEST(scene, is_made_by_its_name) {
  EXPECT_EQ(scene_names().size(), 3u);
  EXPECT_EQ(raster()->roles().size(), 3u);
  try {
    make_scene("sunset", {});
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("'sunset' is no scene; there are xrf_raster, powder, tomography"));
  }
}

TEST(scene, reaches_receivers_as_spectra_with_their_dead_time) {
  auto s = raster();
  auto view = s->view("spectra").spectrometer;
  for (auto form : {"multipart", "old"}) {
    auto entries = entries_of(*s, "xspress3", "spectra", {{"form", form}});
    for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
      std::vector<std::uint32_t> spectra(4 * 4096);
      auto counters = view->fill(frame, spectra);
      auto image = parse_xspress3_image(entries[frame + 1]);
      ASSERT_TRUE(image);
      EXPECT_EQ(image->frame, frame);
      EXPECT_EQ(image->exptime, 0.01);
      EXPECT_EQ(image->spectra.copy(), array::of(std::span<const std::uint32_t>(spectra), {4, 4096}));
      auto meta = parse_xspress3_meta(entries[frame + 1]);
      for (std::size_t channel = 0; channel < 4; ++channel) {
        double events = counters.events[channel], resets = counters.reset_ticks[channel];
        EXPECT_EQ(meta->numbers("AllEvents")->at(channel), events);
        EXPECT_EQ(meta->numbers("ClockTicks")->at(channel), 800'000);
        EXPECT_DOUBLE_EQ(meta->numbers("dtc")->at(channel), 8e5 / (8e5 - 7 * events - resets));
      }
    }
  }
}

TEST(scene, reaches_receivers_as_readings) {
  auto s = raster();
  auto points = entries_of(*s, "contrast", "positions");
  auto currents = entries_of(*s, "albaem", "i0");
  auto records = entries_of(*s, "sardana", "positions");
  EXPECT_THAT(parse_contrast_scan(points[0])->description, HasSubstr("mesh sy 0 1 2 sx 0 1.5 3 0.01"));
  EXPECT_EQ(parse_sardana_description(records[0])->columns.size(), 2u);
  for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
    auto at = s->view("positions").readings->at(frame);
    auto point = parse_contrast_point(points[frame + 1]);
    EXPECT_EQ(point->number("sx"), at[0]);
    EXPECT_EQ(point->number("sy"), at[1]);
    EXPECT_EQ(point->number("pseudo", "x"), at[0]);
    EXPECT_EQ(parse_albaem_reading(currents[frame + 1])->channel(1), s->view("i0").readings->at(frame)[0]);
    auto record = parse_sardana_record(records[frame + 1]);
    EXPECT_EQ(record->columns.find("sx")->as_number(), at[0]);
    EXPECT_EQ(record->point_nb, frame);
  }
}

TEST(scene, reaches_receivers_as_rows_of_a_pandabox) {
  auto s = tomography();
  for (auto process : {"scaled", "raw"}) {
    series_settings settings{
        .frames = s->frames(), .options = {{"process", process}}, .view = s->view("angle")};
    auto header = std::make_shared<const panda_header>(panda_series_header(settings));
    EXPECT_EQ(header->find("INENC1.VAL.Mean")->units, "deg");
    for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
      auto sample = panda_series_row(settings, 0, frame);
      auto angle = panda_row(header, sample).scaled("INENC1.VAL.Mean");
      EXPECT_NEAR(*angle, s->view("angle").readings->at(frame)[0], 1e-9) << frame;
    }
  }
  // And as text, to the ten digits that it has.
  auto entries = entries_of(*s, "panda_tcp", "angle");
  auto header = std::make_shared<const panda_header>(*parse_panda_header(entries[0]));
  EXPECT_NEAR(*parse_panda_row(header, entries.at(1 + 2 + 1 + 8))->scaled("INENC1.VAL.Mean"), 160, 1e-7);
}

TEST(scene, reaches_receivers_as_images) {
  auto s = tomography();
  auto camera = s->view("projections").camera;
  for (auto compression : {"none", "bslz4"}) {
    auto entries = entries_of(*s, "stins", "projections", {{"compression", compression}});
    for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
      std::vector<std::byte> expected(16 * 24 * 2), found(expected.size());
      camera->fill(frame, expected);
      auto image = parse_stins_image(entries[frame + 1]);
      ASSERT_TRUE(image);
      EXPECT_EQ(image->shape, (std::vector<std::size_t>{16, 24}));
      EXPECT_EQ(image->frame, frame);
      auto how = compression == std::string_view("bslz4") ? codec::bslz4 : codec::none;
      decompress(how, 2, image->blobs[0].bytes(), found);
      EXPECT_EQ(found, expected);
    }
  }
}

/// A second series goes on where the first one ended.
TEST(scene, goes_on_behind_its_first_frame) {
  auto s = tomography();
  auto whole = entries_of(*s, "stins", "projections");
  auto rest = entries_of("stins", {.frames = 5, .view = s->view("projections"), .first_frame = 7});
  for (std::size_t n = 0; n < 5; ++n)
    EXPECT_EQ(rest[n + 1].frames()[1].text(), whole[n + 8].frames()[1].text());
}

TEST(scene, is_not_seen_by_instruments_that_send_something_else) {
  auto why = [](std::string_view protocol, instrument_view view) -> std::string {
    try {
      make_series(protocol, {.view = std::move(view)});
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  };
  EXPECT_EQ(why("albaem", raster()->view("spectra")), "albaem sends no spectra");
  EXPECT_EQ(why("xspress3", tomography()->view("projections")), "xspress3 sends no images");
  EXPECT_EQ(why("eiger_v1", raster()->view("i0")), "eiger_v1 sends no readings of motors or monitors");
}

} // namespace
} // namespace dtranspose
