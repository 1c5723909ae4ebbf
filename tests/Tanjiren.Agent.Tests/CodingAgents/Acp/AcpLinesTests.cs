using System.Text;
using Tanjiren.Agent.CodingAgents.Acp;

namespace Tanjiren.Agent.Tests.CodingAgents.Acp;

public sealed class AcpLinesTests
{
    [Fact]
    public void Lines_come_out_whole_however_the_stream_is_cut()
    {
        var stream = Encoding.UTF8.GetBytes("one\r\n\ntwo ü\n" + new string('x', 5000) + "\nrest");
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var (lines, taken) = (new AcpLines(), new List<string>());
            for (var at = 0; at < stream.Length;)
            {
                var length = Math.Min(random.Next(1, 50), stream.Length - at);
                lines.Take(stream.AsSpan(at, length), line => taken.Add(Encoding.UTF8.GetString(line)), () => Assert.Fail("nothing is too long"));
                at += length;
            }
            taken.ShouldBe(["one", "", "two ü", new string('x', 5000)]);
            Encoding.UTF8.GetString(lines.Rest()).ShouldBe("rest");
        }
    }

    [Fact]
    public void A_line_that_is_too_long_is_dropped_and_told_and_the_next_is_taken()
    {
        var (lines, taken, dropped) = (new AcpLines(maxLineBytes: 10), new List<string>(), 0);
        foreach (var piece in new[] { "12345", "67890", "1", "2\nnext\n1234567890\n", "12345678901\n" })
            lines.Take(Encoding.ASCII.GetBytes(piece), line => taken.Add(Encoding.ASCII.GetString(line)), () => dropped++);
        taken.ShouldBe(["next", "1234567890"]);
        dropped.ShouldBe(2);
    }

    [Theory]
    [InlineData("""{"method":"a","params":{"t":"\ud83d\ude00"}}""", "😀")]
    [InlineData("""{"method":"a","params":{"t":"x\ud83d"}}""", "x\ufffd")]
    [InlineData("""{"method":"a","params":{"t":"\uDE00x"}}""", "\ufffdx")]
    [InlineData("""{"method":"a","params":{"t":"\\ud83d"}}""", @"\ud83d")]
    [InlineData("""{"method":"a","params":{"t":"\ud83d\ud83d\ude00"}}""", "\ufffd😀")]
    public void Half_a_character_costs_no_message(string line, string text) =>
        AcpCodec.StringOf(AcpCodec.Read(Encoding.UTF8.GetBytes(line))!.Params!.Value, "t").ShouldBe(text);

    [Fact]
    public void Bytes_that_are_no_text_cost_no_message()
    {
        byte[] line = [.. """{"method":"a","params":{"t":"x"""u8, 0xff, .. "\"}}"u8];
        AcpCodec.StringOf(AcpCodec.Read(line)!.Params!.Value, "t").ShouldBe("x\ufffd");
    }

    [Theory]
    [InlineData("")]
    [InlineData("Loading …")]
    [InlineData("{")]
    [InlineData("[1]")]
    [InlineData("""{"level":"info","msg":"ready"}""")]
    [InlineData("""{"method":5}""")]
    public void Junk_is_no_message(string line) => AcpCodec.Read(Encoding.UTF8.GetBytes(line)).ShouldBeNull();
}
