using System.Security.Cryptography;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// A mark attributes processes to one claim of one step. It is inherited through fork, exec, setsid and a cleared environment, because it is the soft
/// limit RLIMIT_RTTIME, which every child gets from its parent and which nothing but a realtime scheduling class ever reads: there it means
/// "35 years of computing without a pause". cgroups would do this better where they may be written, which a plain user's agent cannot count on.
/// </summary>
internal static class ProcessMarks
{
    private const int RandomBits = 50;
    private const ulong Base = 1UL << RandomBits;

    /// <summary>A mark that no other claim has: 50 random bits above 2^50, so two claims meet with a chance of 10^-15.</summary>
    public static ulong New()
    {
        Span<byte> random = stackalloc byte[8];
        RandomNumberGenerator.Fill(random);
        return Base | (BitConverter.ToUInt64(random) & (Base - 1));
    }

    /// <summary>Whether a limit that was read from a process is a mark at all. "Unlimited" and every limit that people set are not.</summary>
    public static bool IsMark(ulong limit) => limit is >= Base and < Base << 1;
}
