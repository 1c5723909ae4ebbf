using System.Text;
using Tanjiren.Agent.Masking;

namespace Tanjiren.Agent.Tests.Masking;

/// <summary>The rules by example; <see cref="MaskPropertyTests"/> has them by chance.</summary>
public sealed class StreamMaskerTests
{
    private const string Secret = "p4ss/w+rd \"x\"\n";

    [Theory]
    [InlineData("the p4ss/w+rd \"x\"\n it is", "the [masked] it is")]
    [InlineData("p4ss%2fw%2Brd%20%22x%22%0a", "[masked]")]
    [InlineData("k=p4ss%2Fw%2Brd+%22x%22%0A&", "k=[masked]&")]
    [InlineData("""{"k":"p4ss\/w+rd \"x\"\n"}""", """{"k":"[masked]"}""")]
    [InlineData("""{"k":"p4ss/w\u002Brd \u0022x\u0022\u000a"}""", """{"k":"[masked]"}""")]
    [InlineData("cDRzcy93K3JkICJ4Igo=", "[masked]")]
    [InlineData("p4ss/w+rd \"x\"", "[masked]")] // its line
    [InlineData("p4ss/w+rd", "p4ss/w+rd")]
    [InlineData("100% \\o/ 50%", "100% \\o/ 50%")]
    public void Each_form_is_one_mark_and_nothing_else_changes(string text, string expected)
    {
        for (var size = 1; size <= text.Length; size++) Masked(text, size, Secret).ShouldBe(expected, $"pieces of {size}");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Base64_of_a_longer_text_keeps_the_rest_of_it(int before)
    {
        var text = Convert.ToBase64String(Encoding.UTF8.GetBytes("abc"[..before] + "correct horse" + "!battery"));
        var masked = Masked(text, 3, "correct horse");
        masked.ShouldContain("[masked]");
        masked.ShouldEndWith(text[^8..]);
        masked.Length.ShouldBeInRange("[masked]".Length + text.Length - 18, "[masked]".Length + text.Length - 15, "one character at each end is its neighbours' too");
    }

    [Theory]
    [InlineData("\n", 76)]
    [InlineData("\r\n", 64)]
    public void Base64_is_found_over_line_breaks(string end, int width)
    {
        var secret = string.Concat(Enumerable.Range(0, 40).Select(i => $"line {i} "));
        var text = string.Join(end, Convert.ToBase64String(Encoding.UTF8.GetBytes(secret)).Chunk(width).Select(line => new string(line)));
        foreach (var size in new[] { 1, 7, 5000 }) Masked($"key:\n{text}{end}end", size, secret).ShouldBe($"key:\n[masked]{end}end");
    }

    [Fact]
    public void The_longest_counts_overlaps_are_one_part_and_neighbours_two()
    {
        foreach (var size in new[] { 1, 2, 5, 100 })
        {
            Masked("token-123456789", size, "token-1234", "token-123456789").ShouldBe("[masked]");
            Masked("token-12345678", size, "token-1234", "token-123456789").ShouldBe("[masked]5678");
            Masked("<abcdefghijkl>", size, "abcdefgh", "efghijkl").ShouldBe("<[masked]>");
            Masked("aaaaaaaaaaaaaaaa!", size, "aaaaaa").ShouldBe("[masked]!");
            Masked("abcdefghijkl", size, "abcdef", "ghijkl").ShouldBe("[masked][masked]");
        }
    }

    [Fact]
    public void A_beginning_is_held_back_until_the_stream_tells_and_no_more_than_that()
    {
        var masker = new StreamMasker(MaskSet.Of(["hunter22"])!);
        Write(masker, "Password: hunter2").ShouldBe("Password: ");
        Write(masker, "").ShouldBe("");
        Write(masker, "3").ShouldBe("hunter23");
        Write(masker, "hunter22").ShouldBe("[masked]", "it is whole, and nothing longer begins with it");
        Write(masker, "hunter").ShouldBe("");
        Encoding.UTF8.GetString(masker.Finish()).ShouldBe("hunter");
        Write(masker, "22").ShouldBe("22", "the next stream begins anew");
        // What belongs to a match already is gone, and its mark is there, however long the next one takes.
        var long1 = new StreamMasker(MaskSet.Of(["aaaaaa"])!);
        var written = 0;
        for (var i = 0; i < 1000; i++) written += Write(long1, "a").Length;
        written.ShouldBe("[masked]".Length);
        long1.Marks.ShouldBe(1);
    }

    [Fact]
    public void Any_bytes_pass()
    {
        var bytes = new byte[100_000];
        new Random(1).NextBytes(bytes);
        var masker = new StreamMasker(MaskSet.Of(["correct horse", "battery staple"])!);
        var passed = new List<byte>();
        foreach (var piece in bytes.Chunk(777)) passed.AddRange(masker.Write(piece));
        passed.AddRange(masker.Finish());
        passed.SequenceEqual(bytes).ShouldBeTrue();
    }

    [Fact]
    public void A_secret_of_32_KiB_is_found_to_the_byte()
    {
        var random = new Random(2);
        var secret = new string([.. Enumerable.Range(0, 32 * 1024).Select(_ => (char)random.Next(33, 127))]);
        Masked($"<{secret}>", 4096, secret).ShouldBe("<[masked]>");
        Masked($"<{Convert.ToBase64String(Encoding.UTF8.GetBytes(secret))}>", 4096, secret).ShouldBe("<[masked]>");
        Masked($"<{secret[..^1]}>", 4096, secret).ShouldBe($"<{secret[..^1]}>");
    }

    /// <summary>What an optimist's search would take hours for.</summary>
    [Fact]
    public void Nearly_matching_text_costs_no_more_than_any_other()
    {
        var secret = new string('a', 20_000) + "b";
        var masker = new StreamMasker(MaskSet.Of([secret])!);
        var text = Encoding.ASCII.GetBytes(new string('a', 64 * 1024));
        var began = System.Diagnostics.Stopwatch.GetTimestamp();
        for (var i = 0; i < 32; i++) masker.Write(text);
        System.Diagnostics.Stopwatch.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromSeconds(20));
    }

    private static string Masked(string text, int size, params string[] secrets)
    {
        var masker = new StreamMasker(MaskSet.Of(secrets)!);
        var left = new List<byte>();
        foreach (var piece in Encoding.UTF8.GetBytes(text).Chunk(size)) left.AddRange(masker.Write(piece));
        left.AddRange(masker.Finish());
        return Encoding.UTF8.GetString([.. left]);
    }

    private static string Write(StreamMasker masker, string text) => masker.WriteText(text);
}
