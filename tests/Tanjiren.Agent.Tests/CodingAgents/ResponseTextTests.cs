using System.Text;
using System.Text.Json;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents;

public sealed class ResponseTextTests
{
    [Fact]
    public void What_fits_is_kept_as_it_is() => Of("a\n<b> \"ü\" 😀").ShouldBe("a\n<b> \"ü\" 😀");

    [Fact]
    public void What_no_database_stores_is_left_out() => Of("a\0b\ud83d").ShouldBe("ab\ufffd");

    /// <summary>A result is one record of the journal (1 MiB) and one request (1 MiB), whatever its characters cost in JSON.</summary>
    [Theory]
    [InlineData("x")]
    [InlineData("\"")]
    [InlineData("ü")]
    [InlineData("😀")]
    [InlineData("\u0001")]
    [InlineData("漢")]
    public void However_it_is_written_a_result_with_it_fits(string unit)
    {
        var response = Of(string.Concat(Enumerable.Repeat(unit, 400_000)));
        response.ShouldContain("[tanjiren] the response was cut here");
        Encoding.UTF8.GetByteCount(response).ShouldBeLessThanOrEqualTo(WireLimits.MaxResponseBytes);
        JsonSerializer.SerializeToUtf8Bytes(new CompleteRequest { Response = response }, WireJson.Default.CompleteRequest).Length.ShouldBeLessThan(600 * 1024);
    }

    private static string Of(string text)
    {
        var response = new ResponseText();
        // As it streams in.
        foreach (var piece in text.Chunk(1000)) response.Append(piece);
        return response.ToText(StepMasks.None);
    }
}
