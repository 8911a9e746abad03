#include "tests/report/SampleReport.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>

using namespace sdopt;
using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

TEST(ReportJson, RoundTripKeepsEveryField) {
  Report report = sampleReport();
  absl::StatusOr<Report> back = fromJson(toJson(report), "report.json");
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_TRUE(MessageDifferencer::Equals(report, *back));
  EXPECT_EQ(toJson(report), toJson(*back));
}

TEST(ReportJson, KeepsProtoNamesAndPrintsDefaults) {
  Report report;
  report.add_modules()->set_name("unet");
  std::string text = toJson(report);
  EXPECT_THAT(text, HasSubstr("\"package_bytes\": \"0\""));
  EXPECT_THAT(text, HasSubstr("\"sram_peak_bytes\": \"0\""));
  EXPECT_THAT(text, HasSubstr("\"psnr\": 0"));
  EXPECT_EQ(text.back(), '\n');
}

TEST(ReportJson, KeepsInfinity) {
  Report report;
  report.add_modules()->set_psnr(std::numeric_limits<double>::infinity());
  absl::StatusOr<Report> back = fromJson(toJson(report), "report.json");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->modules(0).psnr(), std::numeric_limits<double>::infinity());
}

TEST(ReportJson, RejectsWhatItDoesNotKnow) {
  for (const char *text :
       {"{\"modules\": [{\"nmae\": \"unet\"}]}", "{\"version\": \"1\", \"extra\": 1}",
        "{\"package_bytes\": \"many\"}", "{\"modules\": 5}", "[]", "", "{", "{} {}",
        "{\"version\": \"1\"", "not json"}) {
    absl::StatusOr<Report> report = fromJson(text, "old/report.json");
    ASSERT_FALSE(report.ok()) << text;
    EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
    std::string message(report.status().message());
    EXPECT_THAT(message, HasSubstr("old/report.json: not a report of sdopt: "));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}
