using System.Text;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents;

/// <summary>What a session says of a secret, wherever its words are cut: by its chunks, by what comes in between, and by the longest line.</summary>
public sealed class MaskedTranscriptTests
{
    private const string Secret = "correct horse\tbattery staple";

    private static readonly StepMasks Masks = StepMasks.Of(new MaskSettings { Literals = [Secret] }, new Dictionary<string, string>(), null, _ => null);

    private readonly Dictionary<LogStream, StreamMasker> streams = new() { [LogStream.Stdout] = Masks.StreamOf()!, [LogStream.Stderr] = Masks.StreamOf()! };
    private readonly Dictionary<LogStream, string> written = new() { [LogStream.Stdout] = "", [LogStream.Stderr] = "", [LogStream.System] = "" };
    private readonly Transcript transcript;

    public MaskedTranscriptTests() => transcript = new Transcript(
        (stream, data) => written[stream] += stream == LogStream.System ? Encoding.UTF8.GetString(Masks.Own(data)) : streams[stream].WriteText(Encoding.UTF8.GetString(data)), Masks);

    [Theory]
    [InlineData("tool")]
    [InlineData("plan")]
    [InlineData("mode")]
    [InlineData("thought")]
    [InlineData("ignored")]
    public void Two_halves_of_a_secret_with_something_in_between_are_one(string what)
    {
        SessionEvent between = what switch
        {
            "tool" => new ToolChanged(new ToolCall("t") { Title = "ls", Kind = "execute" }, false, false, false),
            "plan" => new PlanChanged([]),
            "mode" => new ModeChanged("plan"),
            "thought" => new ThoughtChunk("hm"),
            _ => new MessageIgnored("session/update"),
        };
        for (var cut = 1; cut < Secret.Length; cut++)
        {
            transcript.Tell(new MessageChunk("It is " + Secret[..cut], IsNew: true));
            transcript.Tell(between);
            transcript.Tell(new MessageChunk(Secret[cut..] + " indeed.", IsNew: false));
        }
        Finish();

        NothingLeaked();
        written[LogStream.Stdout].Split("It is [masked] indeed.").Length.ShouldBe(Secret.Length);
        written[LogStream.System].Split("\"text\":\"It is [masked] indeed.\"").Length.ShouldBe(Secret.Length);
    }

    [Fact]
    public void Two_halves_of_a_thought_are_one_too()
    {
        transcript.Tell(new ThoughtChunk("It is correct ho"));
        transcript.Tell(new PlanChanged([]));
        transcript.Tell(new ThoughtChunk("rse\tbattery staple indeed."));
        Finish();

        NothingLeaked();
        written[LogStream.System].ShouldContain("\"text\":\"It is [masked] indeed.\"");
    }

    [Fact]
    public void Words_that_end_like_no_secret_end_where_something_else_comes()
    {
        transcript.Tell(new MessageChunk("I look.", IsNew: true));
        transcript.Tell(new ModeChanged("plan"));
        transcript.Tell(new MessageChunk("Done.", IsNew: false));
        Finish();

        written[LogStream.Stdout].ShouldBe("I look.\nDone.\n");
    }

    [Fact]
    public void A_title_with_a_secret_at_its_cut_tells_no_half_of_it()
    {
        for (var before = 450; before < 500; before++)
            transcript.Tell(new ToolChanged(new ToolCall($"t{before}") { Title = new string('x', before) + Secret + " and more", Kind = "execute", Status = "failed" }, true, false, false));
        Finish();

        NothingLeaked();
        written[LogStream.Stderr].ShouldContain("x[masked]");
    }

    private void Finish()
    {
        transcript.Finish();
        foreach (var stream in streams.Keys) written[stream] += streams[stream].FinishText();
    }

    private void NothingLeaked()
    {
        foreach (var (_, text) in written)
            foreach (var word in new[] { "correct", "battery", "staple" }) text.ShouldNotContain(word);
    }
}
