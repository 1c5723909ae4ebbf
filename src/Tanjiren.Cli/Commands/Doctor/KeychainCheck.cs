using Tanjiren.Agent.Keys;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the operating system has a keychain for this user that keeps something and gives it out again. Without one secrets lie in files that only their owner may read, which works.</summary>
internal static class KeychainCheck
{
    private const string Name = "keychain";

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, cancellation) => Task.Run(() => Look(scene.Cli.Keychain), cancellation));

    private static Finding Look(Keychain keychain)
    {
        if (keychain.Use == KeychainUse.File) return Finding.Ok(Name, $"not asked, as {KeychainWords.Setting} says: secrets lie in files that only their owner may read");
        try
        {
            return keychain.Takes()
                ? Finding.Ok(Name, $"{keychain.Title} keeps secrets")
                : Finding.Warning(Name, $"none answers: {keychain.Absence}", $"secrets lie in files that only their owner may read. {KeychainWords.HowToGet}");
        }
        catch (KeychainException e)
        {
            return Finding.Problem(Name, e.What, e.Next);
        }
    }
}
