using System.Buffers;
using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// Looks into a Linux keyring without opening anything: the Secret Service's <c>SearchItems</c>, which lists what is locked as well and never asks a person, over GDBus, on which libsecret stands.
/// libsecret itself unlocks what it finds. One connection and one method call a look (1 ms of processor time), and no secret comes along.
/// </summary>
internal static partial class KeyringLook
{
    private const int SessionBus = 2;
    private const int NoAutoStart = 1;
    private const int LimitMs = 2000;
    private const string Service = "/org/freedesktop/secrets", Default = "/org/freedesktop/secrets/aliases/default";

    /// <summary>What goes into the text of a question as it is.</summary>
    private static readonly SearchValues<char> Plain = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    /// <summary>
    /// Whether there is an item with these attributes. False only while the default collection, where ours are made, is open: some keyrings (KeePassXC) show nothing of what is locked. Null: it can't be told.
    /// </summary>
    /// <exception cref="DllNotFoundException">GLib is not installed.</exception>
    public static bool? Has(string service, string account)
    {
        if (service.AsSpan().ContainsAnyExcept(Plain) || account.AsSpan().ContainsAnyExcept(Plain)) return null;
        var bus = BusGet(SessionBus, 0, 0);
        if (bus == 0) return null;
        try
        {
            // The default is to kill the process when the bus goes.
            SetExitOnClose(bus, 0);
            return Ask(bus, Service, "org.freedesktop.Secret.Service", "SearchItems", $"({{'service': '{service}', 'account': '{account}'}},)") switch
            {
                null => null,
                "([], [])" => Ask(bus, Default, "org.freedesktop.DBus.Properties", "Get", "('org.freedesktop.Secret.Collection', 'Locked')") == "(<false>,)" ? false : null,
                _ => true,
            };
        }
        finally
        {
            Unref(bus);
        }
    }

    /// <summary>The answer in GVariant's text format, or null. Nothing is started for it.</summary>
    private static string? Ask(nint bus, string path, string type, string method, string parameters)
    {
        var question = Parse(0, parameters, 0, 0, 0);
        if (question == 0) return null;
        var answer = Call(bus, "org.freedesktop.secrets", path, type, method, question, 0, NoAutoStart, LimitMs, 0, 0);
        VariantUnref(question);
        if (answer == 0) return null;
        var text = Print(answer, 0);
        VariantUnref(answer);
        var said = Marshal.PtrToStringUTF8(text);
        Free(text);
        return said;
    }

    [LibraryImport("libgio-2.0.so.0", EntryPoint = "g_bus_get_sync")]
    private static partial nint BusGet(int type, nint cancellable, nint error);

    [LibraryImport("libgio-2.0.so.0", EntryPoint = "g_dbus_connection_set_exit_on_close")]
    private static partial void SetExitOnClose(nint bus, int exit);

    [LibraryImport("libgio-2.0.so.0", EntryPoint = "g_dbus_connection_call_sync", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint Call(nint bus, string name, string path, string type, string method, nint parameters, nint replyType, int flags, int timeoutMs, nint cancellable, nint error);

    [LibraryImport("libgobject-2.0.so.0", EntryPoint = "g_object_unref")]
    private static partial void Unref(nint instance);

    [LibraryImport("libglib-2.0.so.0", EntryPoint = "g_variant_parse", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint Parse(nint type, string text, nint limit, nint end, nint error);

    [LibraryImport("libglib-2.0.so.0", EntryPoint = "g_variant_print")]
    private static partial nint Print(nint value, int annotate);

    [LibraryImport("libglib-2.0.so.0", EntryPoint = "g_variant_unref")]
    private static partial void VariantUnref(nint value);

    [LibraryImport("libglib-2.0.so.0", EntryPoint = "g_free")]
    private static partial void Free(nint memory);
}
