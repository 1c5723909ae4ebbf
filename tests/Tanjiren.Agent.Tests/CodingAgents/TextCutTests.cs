using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Masking;

namespace Tanjiren.Agent.Tests.CodingAgents;

public sealed class TextCutTests
{
    [Theory]
    [InlineData("one two three", 13, "one two three")]
    [InlineData("one two three", 12, "one two")]
    [InlineData("one two three", 8, "one two")]
    [InlineData("one two three", 7, "one two")]
    [InlineData("onetwothree", 5, "onetw")]
    [InlineData("ab😀cd", 3, "ab")]
    public void It_is_cut_between_words_where_there_are_any(string text, int longest, string kept) => TextCut.Keep(text, longest).ShouldBe(kept);

    [Theory]
    [InlineData("cret is here", " is here")]
    [InlineData(" whole words", " whole words")]
    [InlineData("nothing", "nothing")]
    public void What_was_cut_at_its_beginning_begins_with_a_whole_word(string text, string kept) => TextCut.WholeWords(text).ShouldBe(kept);

    /// <summary>What is masked is masked in each event by itself.</summary>
    [Fact]
    public void A_long_message_is_one_event_that_ends_before_a_word_that_does_not_fit()
    {
        var written = new List<(Tanjiren.Protocol.LogStream Stream, string Text)>();
        var transcript = new Transcript((stream, data) => written.Add((stream, System.Text.Encoding.UTF8.GetString(data))), StepMasks.None);
        var text = string.Concat(Enumerable.Repeat("word ", EventLine.MaxText / 5)) + "hunter2-hunter2 and more";
        foreach (var piece in text.Chunk(7)) transcript.Tell(new Tanjiren.Agent.CodingAgents.Acp.MessageChunk(new string(piece), IsNew: false));
        transcript.Finish();

        var told = written.Where(w => w.Stream == Tanjiren.Protocol.LogStream.System).ToList().ShouldHaveSingleItem().Text;
        told.ShouldNotContain("hunter2");
        told.ShouldEndWith("word\",\"textCut\":true}\n");
        string.Concat(written.Where(w => w.Stream == Tanjiren.Protocol.LogStream.Stdout).Select(w => w.Text)).ShouldBe(text + "\n");
    }
}
