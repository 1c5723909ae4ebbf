using System.Text;
using System.Text.Json;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Settings;

namespace Tanjiren.Agent.Tests.Masking;

public sealed class StepMasksTests
{
    private static readonly Dictionary<string, string> Job = new() { ["DB_PASSWORD"] = "of the job", ["PIN"] = "1234", ["OTHER"] = "not named" };

    [Fact]
    public void Values_come_from_the_machine_the_job_the_literals_and_the_secrets_and_short_ones_are_named()
    {
        var settings = new MaskSettings { Environment = ["DB_PASSWORD", "PIN", "NOWHERE", "EMPTY"], Literals = ["a literal", "short"] };
        var masks = StepMasks.Of(settings, Job, new Dictionary<string, string> { ["KEY"] = "the secret", ["FLAG"] = "yes" }, Machine);

        masks.Text("of the job, of the machine, a literal, the secret, not named, 1234, yes, tnv_own-token").ShouldBe("[masked], [masked], [masked], [masked], not named, 1234, yes, [masked]");
        masks.TooShort.ShouldBe(["PIN", "FLAG", "mask.literals[1]"]);
        var notice = Encoding.UTF8.GetString(masks.Notice()!);
        notice.ShouldContain("PIN, FLAG, mask.literals[1]");
        foreach (var value in new[] { "1234", "yes", "short" }) notice.ShouldNotContain(value);

        static string? Machine(string name) => name switch { "DB_PASSWORD" => "of the machine", "EMPTY" => "", "TANVRIT_TOKEN" => "tnv_own-token", _ => null };
    }

    [Fact]
    public void With_nothing_to_mask_everything_is_as_it_was()
    {
        var masks = StepMasks.Of(new MaskSettings(), Job, null, _ => null);
        (masks.StreamOf(), masks.Notice(), masks.Text(null)).ShouldBe((null, null, null));
        masks.Text("half \ud83d a pair").ShouldBe("half \ud83d a pair");
    }

    [Fact]
    public void Half_a_surrogate_pair_is_nothing_to_stumble_over()
    {
        foreach (var text in new[] { "\ud83d", "\ude00 the secret", "the secret\ud83d", "" }) Masks("the secret").Text(text).ShouldNotContain("the secret");
    }

    [Fact]
    public void Events_stay_json_whatever_is_hidden_in_them()
    {
        var masks = Masks("123456", "nabcdef", "a\"b\\c/d", "läuft €");
        (string Event, string Expected)[] events =
        [
            ("""{"n":123456,"m":12345}""", """{"n":"[masked]","m":12345}"""),
            ("""["\nabcdef","\\nabcdef"]""", """["\nabcdef","\\[masked]"]"""),
            ("""{"k":"a\"b\\c\/d","a\"b\\c/d":{"x":[true,false,null,1.5e3]}}""", """{"k":"[masked]","[masked]":{"x":[true,false,null,1.5e3]}}"""),
            ("""{"k":"l\u00e4uft \u20AC","cmd":"echo a%22b%5Cc%2Fd"}""", """{"k":"[masked]","cmd":"echo [masked]"}"""),
        ];
        foreach (var (given, expected) in events)
        {
            using var parsed = JsonDocument.Parse(given);
            using var wanted = JsonDocument.Parse(expected);
            JsonElement.DeepEquals(masks.Json(parsed.RootElement), wanted.RootElement).ShouldBeTrue($"{masks.Json(parsed.RootElement).GetRawText()} for {given}");
        }
    }

    [Fact]
    public void Half_a_pair_in_an_event_becomes_a_replacement_character_also_in_a_name()
    {
        using var parsed = JsonDocument.Parse("""{"\ud83d":"the secret \udE00"}""");
        var property = Masks("the secret").Json(parsed.RootElement).EnumerateObject().Single();
        (property.Name, property.Value.GetString()).ShouldBe(("\ufffd", "[masked] \ufffd"));
    }

    [Fact]
    public void A_message_that_comes_word_by_word_is_one_stream()
    {
        var stream = Masks("the secret").StreamOf()!;
        string.Concat(stream.WriteText("it is the"), stream.WriteText(" sec"), stream.WriteText("ret, is"), stream.WriteText(" it")).ShouldBe("it is [masked], is i");
        stream.FinishText().ShouldBe("t", "as the secret begins");
    }

    private static StepMasks Masks(params string[] literals) => StepMasks.Of(new MaskSettings { Literals = literals }, Job, null, _ => null);
}
